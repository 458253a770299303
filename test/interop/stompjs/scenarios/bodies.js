import { equal, listen, ok, receipt, unique } from '../world.js';

const MIB = 1024 * 1024;

// Each byte value in each position of a pattern, so that a lost or doubled byte shows.
function everyByte(length) {
  const body = new Uint8Array(length);
  for (let i = 0; i < length; i++) body[i] = (i + (i >> 8)) & 0xff;
  return body;
}

function sameBytes(got, want, what) {
  equal(got.length, want.length, `${what}: length`);
  for (let i = 0; i < want.length; i++) {
    if (got[i] !== want[i]) throw new Error(`${what}: byte ${i} is ${got[i]}, want ${want[i]}`);
  }
}

async function echo(client, kind, params) {
  const destination = unique(kind);
  const inbox = await listen(client, destination);
  const done = receipt(client);
  client.publish({ destination, ...params, headers: { ...params.headers, ...done.headers } });
  await done.promise;
  return inbox.next(20_000);
}

async function large(world, conf, params) {
  const client = await world.connect(conf);
  for (const kind of ['/queue/large-', '/topic/large.']) {
    const message = await echo(client, kind, params);
    if (params.binaryBody) sameBytes(message.binaryBody, params.binaryBody, kind);
    else ok(message.body === params.body, `${kind}: ${message.body.length} characters are the same`);
  }
}

const oneMiB = 'x'.repeat(MIB - 6) + '\nlast\n';
// Three bytes a character, so that a chunk of characters is never a chunk of as many bytes.
const hangul = '구독'.repeat(MIB / 8);

export const bodies = [
  ...['/queue/bytes-', '/topic/bytes.'].map(kind => ({
    name: `body: every byte value through ${kind.slice(0, 6)}`,
    needs: ['gudok'],
    async run(world) {
      const client = await world.connect();
      const body = everyByte(64 * 1024);
      const message = await echo(client, kind, {
        binaryBody: body,
        headers: { 'content-type': 'application/octet-stream' },
      });
      sameBytes(message.binaryBody, body, 'body');
      equal(message.headers['content-length'], String(body.length), 'content-length');
      equal(message.headers['content-type'], 'application/octet-stream', 'content-type');
    },
  })),
  {
    name: 'body: binary to a client that has sent only text',
    needs: ['gudok'],
    async run(world) {
      const sender = await world.connect();
      const receiver = await world.connect();
      const destination = unique('/topic/bytes.');
      const inbox = await listen(receiver, destination);
      sender.publish({ destination, binaryBody: everyByte(256) });
      sameBytes((await inbox.next()).binaryBody, everyByte(256), 'body');
      sender.publish({ destination, body: '텍스트' });
      equal((await inbox.next()).body, '텍스트', 'text after it');
    },
  },
  ...[
    ['empty text', ''],
    ['NULs within text', 'a\0b\0\0c'],
    ['nothing but NULs', '\0\0\0'],
    ['line ends', '\n\r\n\n'],
    ['what looks like a frame', 'SEND\ndestination:/queue/x\n\nhi\0\n'],
    ['unicode', 'Привет, 구독 👋 \u0000 ﷽ e\u0301'],
    ['JSON', JSON.stringify({ text: 'a:b\\c\n', list: [1, 2, 3] })],
  ].map(([what, body]) => ({
    name: `body: ${what}`,
    async run(world) {
      const client = await world.connect();
      for (const kind of ['/queue/text-', '/topic/text.']) {
        equal((await echo(client, kind, { body })).body, body, kind);
      }
    },
  })),
  {
    name: 'body: without content-length it ends at the NUL',
    async run(world) {
      const client = await world.connect();
      const message = await echo(client, '/queue/text-', {
        body: 'no length',
        skipContentLengthHeader: true,
      });
      equal(message.body, 'no length', 'body');
    },
  },
  {
    name: 'body: empty binary',
    async run(world) {
      const client = await world.connect();
      const message = await echo(client, '/queue/bytes-', { binaryBody: new Uint8Array(0) });
      equal(message.binaryBody.length, 0, 'length');
    },
  },
  {
    name: 'large: 1 MiB of text in one WebSocket message',
    run: world => large(world, {}, { body: oneMiB }),
  },
  {
    name: 'large: 1 MiB of text with splitLargeFrames',
    run: world => large(world, { splitLargeFrames: true }, { body: oneMiB }),
  },
  {
    name: 'large: three-byte characters with splitLargeFrames and chunks of 1000',
    run: world => large(world, { splitLargeFrames: true, maxWebSocketChunkSize: 1000 }, { body: hangul }),
  },
  {
    name: 'large: 1 MiB of every byte',
    needs: ['gudok'],
    run: world => large(world, {}, { binaryBody: everyByte(MIB) }),
  },
  {
    name: 'large: forceBinaryWSFrames with 1 MiB of text',
    run: world => large(world, { forceBinaryWSFrames: true }, { body: oneMiB }),
  },
  {
    name: 'large: ten messages of 1 MiB through a queue, one after another',
    async run(world) {
      const client = await world.connect();
      const destination = unique('/queue/large-');
      const inbox = await listen(client, destination, { ack: 'client', 'prefetch-count': '2' });
      for (let n = 0; n < 10; n++) client.publish({ destination, body: `${n}${oneMiB.slice(1)}` });
      for (let n = 0; n < 10; n++) {
        const message = await inbox.next(20_000);
        equal([message.body[0], message.body.length], [String(n), MIB], `message ${n}`);
        message.ack();
      }
    },
  },
  ...[false, true].map(splitLargeFrames => ({
    name: `large: beyond the limit is an ERROR${splitLargeFrames ? ' with splitLargeFrames' : ''}, and others do not notice`,
    needs: ['gudok'],
    async run(world) {
      const witness = await world.connect();
      const client = await world.connect({ splitLargeFrames });
      const done = receipt(client);
      done.promise.catch(() => {});
      client.publish({ destination: '/queue/never', body: `${oneMiB}!`, headers: done.headers });
      const error = await client.life.errors.next();
      ok(error.headers.message, 'message header');
      equal(error.headers['receipt-id'], done.headers.receipt, 'receipt-id');
      const close = await client.life.closes.next();
      ok(close.code !== 1006, `close code ${close.code} (${close.reason})`);
      await echo(witness, '/queue/text-', { body: 'alive' });
    },
  })),
];
