import { drop, equal, listen, ok, send, unique, within } from '../world.js';

// A client as an application writes it: everything that must survive a reconnect is in onConnect.
async function resident(world, destination) {
  const client = world.client({ reconnectDelay: 200 });
  const theirs = client.onConnect;
  let inbox;
  client.onConnect = async frame => {
    inbox = listen(client, destination);
    await inbox.catch(() => {});
    theirs(frame);
  };
  client.activate();
  await client.life.connects.next();
  return { client, inbox: () => inbox };
}

function survives(signal) {
  return async world => {
    const destination = unique('/topic/restart.');
    const { client, inbox } = await resident(world, destination);
    await send(client, destination, 'before');
    equal((await (await inbox()).next()).body, 'before', 'before');

    const end = await within(world.control('restart', signal), 'the broker to restart', 30_000);
    const close = await client.life.closes.next();
    if (signal === 'SIGTERM') {
      equal(end.code, 0, 'exit code');
      ok([1001, 1012].includes(close.code), `close code ${close.code} (${close.reason})`);
    }
    await client.life.connects.next(15_000);
    await send(client, destination, 'after');
    equal((await (await inbox()).next()).body, 'after', 'after');
    const errors = client.life.errors.values.map(frame => frame.headers.message);
    equal(errors.length, 0, `ERROR frames (${errors})`);
  };
}

export const lifecycle = [
  {
    name: 'deactivate: resolves, with its RECEIPT and a clean close, and does not come back',
    needs: ['gudok'],
    async run(world) {
      const client = await world.connect({ reconnectDelay: 50 });
      await listen(client, unique('/topic/bye.'));
      await within(client.deactivate(), 'deactivate()');
      const frame = await client.life.disconnects.next();
      ok(frame.headers['receipt-id'].startsWith('close-'), 'receipt-id');
      const close = await client.life.closes.next();
      ok([1000, 1005].includes(close.code), `close code ${close.code} (${close.reason})`);
      equal(close.wasClean, true, 'wasClean');
      equal([client.active, client.connected], [false, false], 'active, connected');
      equal(client.life.socketErrors.length, 0, 'WebSocket errors');
      equal(client.life.errors.values.length, 0, 'ERROR frames');
      const other = await world.connect();
      await send(other, unique('/topic/bye.'), 'time passes');
      equal(client.life.connects.values.length, 0, 'connects after it');
    },
  },
  {
    name: "deactivate: what was sent before it arrives, with the application's own receipt",
    needs: ['gudok'],
    async run(world) {
      const destination = unique('/queue/bye-');
      const client = await world.connect({ disconnectHeaders: { receipt: 'my-goodbye' } });
      for (let n = 0; n < 100; n++) client.publish({ destination, body: String(n) });
      await within(client.deactivate(), 'deactivate()');
      equal((await client.life.disconnects.next()).headers['receipt-id'], 'my-goodbye', 'receipt-id');
      const other = await world.connect();
      const bodies = await (await listen(other, destination)).bodies(100);
      equal(bodies[99], '99', 'the last message');
    },
  },
  {
    name: 'deactivate: many at once',
    async run(world) {
      const clients = await Promise.all(Array.from({ length: 10 }, () => world.connect()));
      for (const client of clients) await listen(client, unique('/topic/bye.'));
      await within(Promise.all(clients.map(client => client.deactivate())), 'all to end');
      for (const client of clients) {
        const close = await client.life.closes.next();
        ok([1000, 1005].includes(close.code), `close code ${close.code} (${close.reason})`);
      }
    },
  },
  {
    name: 'deactivate: by force resolves, and unacknowledged messages go to the next',
    async run(world) {
      const destination = unique('/queue/bye-');
      const client = await world.connect();
      const inbox = await listen(client, destination, { ack: 'client' });
      await send(client, destination, 'kept');
      await inbox.next();
      await drop(client);
      equal(client.active, false, 'active');
      const other = await world.connect();
      const message = await (await listen(other, destination)).next();
      equal([message.body, message.headers.redelivered], ['kept', 'true'], 'message');
    },
  },
  {
    name: 'deactivate: the same client may be activated again',
    async run(world) {
      const client = await world.connect();
      for (let round = 0; round < 3; round++) {
        await within(client.deactivate(), 'deactivate()');
        client.activate();
        await client.life.connects.next();
        const destination = unique('/topic/again.');
        const inbox = await listen(client, destination);
        await send(client, destination, `round ${round}`);
        equal((await inbox.next()).body, `round ${round}`, 'body');
      }
    },
  },
  {
    name: 'deactivate: activated again without waiting, at every stage of a connection',
    async run(world) {
      const client = world.client();
      for (const pause of [0, 1, 2, 5, 10, 20]) {
        client.activate();
        await new Promise(resolve => setTimeout(resolve, pause));
        client.deactivate();
        client.deactivate();
      }
      await within(client.deactivate(), 'deactivate()');
      client.life.connects.values.length = 0;
      client.activate();
      await client.life.connects.next();
      const destination = unique('/topic/again.');
      const inbox = await listen(client, destination);
      await send(client, destination, 'settled');
      equal((await inbox.next()).body, 'settled', 'body');
    },
  },
  {
    name: 'deactivate: before CONNECTED came',
    async run(world) {
      const client = world.client();
      client.activate();
      await within(client.deactivate(), 'deactivate()');
      equal(client.active, false, 'active');
    },
  },
  {
    name: 'reconnect: after a connection lost by force, subscriptions are made anew',
    async run(world) {
      const destination = unique('/topic/restart.');
      const { client, inbox } = await resident(world, destination);
      client.forceDisconnect();
      await client.life.closes.next();
      await client.life.connects.next();
      await send(client, destination, 'after');
      equal((await (await inbox()).next()).body, 'after', 'after');
    },
  },
  { name: 'reconnect: after the broker was killed', needs: ['control'], run: survives('SIGKILL') },
  { name: 'reconnect: after the broker was told to end', needs: ['control', 'gudok'], run: survives('SIGTERM') },
];
