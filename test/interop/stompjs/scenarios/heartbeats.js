import { equal, listen, ok, send, unique, within } from '../world.js';

// Lets span milliseconds pass in which nothing but heart-beats goes either way.
async function beats(world, { outgoing, incoming, span, conf = {} }) {
  const came = [];
  const went = [];
  const client = await world.connect({
    heartbeatOutgoing: outgoing,
    heartbeatIncoming: incoming,
    onHeartbeatReceived: () => came.push(Date.now()),
    debug: text => {
      if (text === '>>> PING') went.push(Date.now());
    },
    ...conf,
  });
  const [serverSends, serverWants] = client.connectedFrame.headers['heart-beat'].split(',').map(Number);
  came.push(Date.now());
  await new Promise(resolve => setTimeout(resolve, span));
  came.push(Date.now());
  equal(client.life.closes.values.length, 0, 'closes');

  if (incoming) {
    ok(serverSends > 0, `the server sends: ${serverSends}`);
    const interval = Math.max(incoming, serverSends);
    for (let n = 1; n < came.length; n++) {
      ok(came[n] - came[n - 1] < interval * 2, `silence of ${came[n] - came[n - 1]} ms where ${interval} was agreed`);
    }
  } else {
    equal(came.length, 2, 'heart-beats nobody asked for, and two marks');
  }
  if (outgoing) {
    ok(serverWants > 0, `the server wants: ${serverWants}`);
    ok(went.length >= 2, `heart-beats sent: ${went.length}`);
  } else {
    equal(went.length, 0, 'heart-beats sent');
  }
  const destination = unique('/topic/beat.');
  const inbox = await listen(client, destination);
  await send(client, destination, 'alive');
  equal((await inbox.next()).body, 'alive', 'body');
}

export const heartBeats = [
  {
    name: 'heart-beat: both ways, for several intervals',
    needs: ['gudok'],
    run: world => beats(world, { outgoing: 1000, incoming: 1000, span: 7000 }),
  },
  {
    name: 'heart-beat: from the broker only',
    needs: ['gudok'],
    run: world => beats(world, { outgoing: 0, incoming: 1000, span: 4000 }),
  },
  {
    name: 'heart-beat: from the client only',
    needs: ['gudok'],
    run: world => beats(world, { outgoing: 1000, incoming: 0, span: 7000 }),
  },
  {
    name: 'heart-beat: with the worker strategy',
    needs: ['gudok'],
    run: world => beats(world, { outgoing: 1000, incoming: 1000, span: 4000, conf: { heartbeatStrategy: 'worker' } }),
  },
  {
    name: 'heart-beat: shorter than the bound is clamped, and CONNECTED says so',
    needs: ['gudok'],
    async run(world) {
      const client = await world.connect({ heartbeatOutgoing: 10, heartbeatIncoming: 10 });
      const [sends, wants] = client.connectedFrame.headers['heart-beat'].split(',').map(Number);
      ok(sends >= 1000 && wants >= 1000, `heart-beat ${sends},${wants}`);
    },
  },
  {
    name: 'heart-beat: none where the client wants none',
    async run(world) {
      const client = await world.connect({ heartbeatOutgoing: 0, heartbeatIncoming: 0 });
      const destination = unique('/topic/beat.');
      const inbox = await listen(client, destination);
      await send(client, destination, 'x');
      await inbox.next();
    },
  },
  {
    name: 'heart-beat: a client that promised and fell silent is closed; a talking neighbour is not',
    needs: ['gudok'],
    async run(world) {
      const witness = await world.connect({ heartbeatOutgoing: 1000, heartbeatIncoming: 1000 });
      const socket = await world.socket();
      socket.send(
        `CONNECT\naccept-version:1.2\nhost:/\nlogin:${world.login}\npasscode:${world.passcode}\nheart-beat:1000,0\n\n\0`,
      );
      ok(String(await socket.inbox.next()).startsWith('CONNECTED\n'), 'CONNECTED');
      const began = Date.now();
      await within(socket.closing.next(20_000), 'the silent one to be closed', 20_000);
      const took = Date.now() - began;
      ok(took >= 2500, `closed after ${took} ms, three intervals or five seconds are its due`);
      await send(witness, unique('/topic/beat.'), 'alive');
      equal(witness.life.closes.values.length, 0, 'closes of the neighbour');
    },
  },
];
