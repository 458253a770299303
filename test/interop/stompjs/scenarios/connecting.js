import { equal, listen, ok, send, unique } from '../world.js';

async function roundTrip(client) {
  const destination = unique('/queue/connecting-');
  const queue = await listen(client, destination);
  client.publish({ destination, body: 'hello' });
  equal((await queue.next()).body, 'hello', 'body');
}

export const connecting = [
  {
    name: 'connect: the highest version wins and CONNECTED says who and what',
    needs: ['gudok'],
    async run(world) {
      const client = await world.connect();
      const { headers } = client.connectedFrame;
      equal(client.connectedVersion, '1.2', 'version');
      equal(client.webSocket.protocol, 'v12.stomp', 'subprotocol');
      ok(/^gudok\//.test(headers.server), `server header ${headers.server}`);
      ok(/^[A-Za-z0-9_.-]+$/.test(headers.session), `session header ${headers.session}`);
      equal(headers['user-name'], world.login, 'user-name');
      ok(/^\d+,\d+$/.test(headers['heart-beat']), `heart-beat header ${headers['heart-beat']}`);
      await roundTrip(client);
    },
  },
  ...['1.0', '1.1', '1.2'].map(version => ({
    name: `connect: version ${version} alone`,
    async run(world) {
      const client = await world.connect({ versions: [version] });
      equal(client.connectedVersion, version, 'version');
      equal(client.webSocket.protocol, `v${version.replace('.', '')}.stomp`, 'subprotocol');
      await roundTrip(client);
    },
  })),
  {
    name: 'connect: the old default 1.1,1.0 gives 1.1',
    async run(world) {
      const client = await world.connect({ versions: ['1.1', '1.0'] });
      equal(client.connectedVersion, '1.1', 'version');
      await roundTrip(client);
    },
  },
  {
    name: 'connect: no version in common is an ERROR that lists ours',
    needs: ['gudok'],
    async run(world) {
      const client = world.client({ versions: ['9.9'], webSocketFactory: () => new world.WebSocket(world.url, ['v12.stomp']) });
      client.activate();
      const frame = await client.life.errors.next();
      equal(frame.headers.version, '1.0,1.1,1.2', 'version header of the ERROR');
      await client.life.closes.next();
    },
  },
  {
    name: 'connect: a WebSocket without a subprotocol is served',
    async run(world) {
      const client = await world.connect({
        brokerURL: undefined,
        webSocketFactory: () => new world.WebSocket(world.url),
      });
      equal(client.webSocket.protocol, '', 'subprotocol');
      await roundTrip(client);
    },
  },
  {
    name: 'connect: host and headers of the application are no obstacle',
    needs: ['gudok'],
    async run(world) {
      const client = await world.connect({
        connectHeaders: {
          login: world.login,
          passcode: world.passcode,
          host: 'no.such.host.example',
          'client-id': unique('client-'),
          'x-application': 'a:b',
        },
      });
      await roundTrip(client);
    },
  },
  {
    name: 'connect: a wrong password is an ERROR, then a close; the right one works in the retry',
    needs: ['gudok'],
    async run(world) {
      const witness = await world.connect();
      let attempts = 0;
      const client = world.client({
        connectHeaders: { login: world.login, passcode: 'not c4n4ry this time' },
        reconnectDelay: 100,
        beforeConnect(it) {
          attempts++;
          if (attempts === 3) it.connectHeaders = { login: world.login, passcode: world.passcode };
        },
      });
      client.activate();
      for (const attempt of [1, 2]) {
        const error = await client.life.errors.next();
        ok(error.headers.message, `attempt ${attempt}: a message header`);
        ok(!JSON.stringify([error.headers, error.body]).includes('not c4n4ry this time'), 'the passcode is not echoed');
        const close = await client.life.closes.next();
        ok(close.code !== 1006, `attempt ${attempt}: close code ${close.code} (${close.reason})`);
      }
      await client.life.connects.next();
      equal(attempts, 3, 'attempts');
      await roundTrip(client);
      await roundTrip(witness);
    },
  },
  {
    name: 'connect: no login at all is an ERROR where users are configured',
    needs: ['gudok'],
    async run(world) {
      const client = world.client({ connectHeaders: {} });
      client.activate();
      ok((await client.life.errors.next()).headers.message, 'a message header');
      await client.life.closes.next();
      equal(client.life.connects.values.length, 0, 'CONNECTED frames');
    },
  },
  {
    name: 'connect: a second CONNECT and a frame before CONNECT are ERRORs',
    needs: ['gudok'],
    async run(world) {
      const early = await world.socket();
      early.send('SEND\ndestination:/queue/early\n\nx\0');
      ok(String(await early.inbox.next()).startsWith('ERROR\n'), 'SEND before CONNECT gives ERROR');
      await early.closing.next();

      const twice = await world.socket();
      const connect = `CONNECT\naccept-version:1.2\nhost:/\nlogin:${world.login}\npasscode:${world.passcode}\n\n\0`;
      twice.send(connect);
      ok(String(await twice.inbox.next()).startsWith('CONNECTED\n'), 'CONNECTED');
      twice.send(connect);
      ok(String(await twice.inbox.next()).startsWith('ERROR\n'), 'a second CONNECT gives ERROR');
      await twice.closing.next();
    },
  },
  {
    name: 'connect: many clients at once, each served',
    async run(world) {
      const clients = await Promise.all(Array.from({ length: 20 }, () => world.connect()));
      const destination = unique('/topic/many.');
      const inboxes = await Promise.all(clients.map(client => listen(client, destination)));
      await send(clients[0], destination, 'to all');
      for (const inbox of inboxes) equal((await inbox.next()).body, 'to all', 'body');
    },
  },
];
