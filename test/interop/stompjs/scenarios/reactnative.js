// React Native cuts a text message at its first NUL, in both directions. stomp.js has two settings
// against it; without them the NUL after each frame is missing on the wire.

import { equal, listen, ok, send, unique } from '../world.js';

export const reactNative = [
  {
    name: 'react native: appendMissingNULLonIncoming with forceBinaryWSFrames',
    async run(world) {
      const destination = unique('/queue/rn-');
      const client = await world.connect({ appendMissingNULLonIncoming: true, forceBinaryWSFrames: true });
      const inbox = await listen(client, destination, { ack: 'client' });
      for (const body of ['text', '구독', '', 'a\0b']) {
        await send(client, destination, body);
        const message = await inbox.next();
        equal(message.body, body, 'body');
        message.ack();
      }
    },
  },
  ...['appendMissingNULLonIncoming', 'forceBinaryWSFrames'].map(setting => ({
    name: `react native: ${setting} alone`,
    async run(world) {
      const destination = unique('/topic/rn.');
      const client = await world.connect({ [setting]: true });
      const inbox = await listen(client, destination);
      for (const body of ['text', '구독', 'x'.repeat(100_000)]) {
        await send(client, destination, body);
        equal((await inbox.next()).body, body, 'body');
      }
    },
  })),
  {
    name: 'react native: appendMissingNULLonIncoming on a socket that cuts incoming text at its NUL',
    needs: ['gudok'],
    async run(world) {
      const destination = unique('/topic/rn.');
      const client = await world.connect({
        brokerURL: undefined,
        appendMissingNULLonIncoming: true,
        webSocketFactory() {
          const real = new world.WebSocket(world.url, ['v12.stomp']);
          // One STOMP frame per WebSocket message is what makes this work at all.
          const cut = {
            binaryType: 'arraybuffer',
            get url() { return real.url; },
            get readyState() { return real.readyState; },
            get protocol() { return real.protocol; },
            send: data => real.send(data),
            close: (...reason) => real.close(...reason),
          };
          real.onopen = event => cut.onopen?.(event);
          real.onerror = event => cut.onerror?.(event);
          real.onclose = event => cut.onclose?.(event);
          real.onmessage = event => {
            if (typeof event.data !== 'string') throw new Error('binary for a client that speaks text');
            cut.onmessage?.({ data: event.data.split('\0')[0] });
          };
          return cut;
        },
      });
      const inbox = await listen(client, destination);
      for (let n = 0; n < 50; n++) client.publish({ destination, body: String(n) });
      equal(await inbox.bodies(50), Array.from({ length: 50 }, (_, n) => String(n)), 'bodies');
    },
  },
  {
    name: 'react native: text messages without their NUL',
    needs: ['gudok'],
    async run(world) {
      const destination = unique('/queue/rn-');
      const socket = await world.socket(['v12.stomp', 'v11.stomp', 'v10.stomp']);
      const next = async () => {
        const text = await socket.inbox.next();
        equal(typeof text, 'string', 'kind of WebSocket message');
        return text;
      };
      socket.send(`CONNECT\nlogin:${world.login}\npasscode:${world.passcode}\naccept-version:1.2,1.1,1.0\nheart-beat:10000,10000\n\n`);
      ok((await next()).startsWith('CONNECTED\n'), 'CONNECTED');
      socket.send(`SUBSCRIBE\nid:sub-0\ndestination:${destination}\nreceipt:r1\n\n`);
      ok((await next()).includes('receipt-id:r1'), 'RECEIPT for SUBSCRIBE');
      socket.send('\n');
      const bodies = ['with a length', '구독', 'x'.repeat(20_000)];
      for (const body of bodies) {
        const length = new TextEncoder().encode(body).length;
        socket.send(`SEND\ndestination:${destination}\ncontent-length:${length}\n\n${body}`);
        const message = await next();
        ok(message.startsWith('MESSAGE\n') && message.includes(`\n\n${body}`), `MESSAGE with ${body.slice(0, 20)}`);
      }
      socket.send(`SEND\ndestination:${destination}\n\nwithout a length`);
      ok((await next()).includes('\n\nwithout a length'), 'MESSAGE of a SEND without a length');
      socket.send(`SEND\ndestination:${destination}\nreceipt:r2\n\n`);
      const two = [await next(), await next()].sort();
      ok(two[0].startsWith('MESSAGE\n') && two[1].includes('receipt-id:r2'), 'an empty body');
      socket.send('DISCONNECT\nreceipt:r3\n\n');
      ok((await next()).includes('receipt-id:r3'), 'RECEIPT for DISCONNECT');
      await socket.closing.next();
    },
  },
  {
    name: 'framing: many frames in one WebSocket message, one frame in many',
    async run(world) {
      const destination = unique('/queue/framing-');
      const socket = await world.socket();
      const frames =
        `CONNECT\naccept-version:1.2\nhost:/\nlogin:${world.login}\npasscode:${world.passcode}\n\n\0\n` +
        `SUBSCRIBE\nid:1\ndestination:${destination}\n\n\0\n\n\r\n` +
        `SEND\ndestination:${destination}\n\npacked\0SEND\r\ndestination:${destination}\r\n\r\npacked too\0`;
      socket.send(frames);
      ok(String(await socket.inbox.next()).startsWith('CONNECTED\n'), 'CONNECTED');
      for (const body of ['packed', 'packed too']) {
        ok(String(await socket.inbox.next()).includes(`\n\n${body}\0`), body);
      }
      const text = `SEND\ndestination:${destination}\n\nin pieces\0`;
      for (const [n, character] of [...text].entries()) {
        socket.send(n % 2 ? character : new TextEncoder().encode(character));
      }
      const message = await socket.inbox.next();
      ok(new TextDecoder().decode(typeof message === 'string' ? new TextEncoder().encode(message) : message).includes('\n\nin pieces\0'), 'in pieces');
    },
  },
];
