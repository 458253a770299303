// The shapes of the well-known broker tutorials, with names every STOMP broker shares: hello world,
// work queues, publish and subscribe, topics, remote procedure call.

import { equal, listen, ok, send, settle, unique } from '../world.js';

async function patterns(world, cases) {
  const client = await world.connect();
  const base = unique('logs');
  const inboxes = [];
  for (const [pattern] of cases) inboxes.push(await listen(client, `/topic/${base}${pattern}`));
  const names = ['.kern.error', '.kern.info', '.cron.error', '.kern', '.kern.error.disk', ''];
  for (const name of names) await send(client, `/topic/${base}${name}`, name);
  const concrete = message => message.headers.destination.slice(`/topic/${base}`.length);
  for (const [n, [pattern, want]] of cases.entries()) {
    const got = (await inboxes[n].take(want.length)).map(concrete);
    equal(got.sort(), [...want].sort(), `what ${pattern} gets`);
  }
  // A frame after all of them, on the same connection, tells that no more come.
  const barrier = await listen(client, unique('/topic/barrier.'));
  await send(client, barrier.destination, 'x');
  await barrier.next();
  for (const [n, [pattern]] of cases.entries()) {
    equal(inboxes[n].values.map(concrete), [], `what else ${pattern} gets`);
  }
}

export const tutorials = [
  {
    name: 'tutorial: hello world',
    async run(world) {
      const destination = unique('/queue/hello-');
      const sender = await world.connect();
      const receiver = await world.connect();
      await send(sender, destination, 'Hello World!');
      const message = await (await listen(receiver, destination)).next();
      equal([message.body, message.headers.destination], ['Hello World!', destination], 'message');
    },
  },
  {
    name: 'tutorial: work queues share fairly by what is unacknowledged',
    async run(world) {
      const destination = unique('/queue/tasks-');
      const boss = await world.connect();
      const headers = { ack: 'client-individual', 'prefetch-count': '1' };
      const slow = await listen(await world.connect(), destination, headers);
      await send(boss, destination, 'long task');
      const stuck = await slow.next();
      const quick = await world.connect();
      const worker = await listen(quick, destination, headers);
      for (let n = 0; n < 5; n++) await send(boss, destination, `task ${n}`);
      for (let n = 0; n < 5; n++) {
        const message = await worker.next();
        equal(message.body, `task ${n}`, 'what the quick worker gets');
        await settle(quick, message);
      }
      equal(slow.values.length, 0, 'what the slow worker got meanwhile');
      stuck.ack();
    },
  },
  {
    name: 'tutorial: publish and subscribe',
    async run(world) {
      const destination = unique('/topic/logs-');
      const clients = [await world.connect(), await world.connect(), await world.connect()];
      const inboxes = [];
      for (const client of clients.slice(1)) inboxes.push(await listen(client, destination));
      for (let n = 0; n < 100; n++) clients[0].publish({ destination, body: String(n) });
      for (const inbox of inboxes) {
        equal(await inbox.bodies(100), Array.from({ length: 100 }, (_, n) => String(n)), 'bodies in order');
      }
    },
  },
  {
    name: 'tutorial: topics with * and #',
    run: world =>
      patterns(world, [
        ['.*.error', ['.kern.error', '.cron.error']],
        ['.kern.*', ['.kern.error', '.kern.info']],
        ['.kern.#', ['.kern.error', '.kern.info', '.kern', '.kern.error.disk']],
        ['.#', ['.kern.error', '.kern.info', '.cron.error', '.kern', '.kern.error.disk', '']],
        ['.kern.error', ['.kern.error']],
      ]),
  },
  {
    name: "tutorial: topics with ActiveMQ's > and Spring's **",
    needs: ['gudok'],
    run: world =>
      patterns(world, [
        ['.kern.>', ['.kern.error', '.kern.info', '.kern', '.kern.error.disk']],
        ['.kern.**', ['.kern.error', '.kern.info', '.kern', '.kern.error.disk']],
        ['/kern/*', ['.kern.error', '.kern.info']],
        ['.*', ['.kern']],
      ]),
  },
  {
    name: 'tutorial: remote procedure call, reply-to a /temp-queue without a SUBSCRIBE',
    async run(world) {
      const destination = unique('/queue/rpc-');
      const server = await world.connect();
      const calls = await listen(server, destination, { ack: 'client-individual' });
      const caller = await world.connect();
      for (const n of [1, 2, 3]) {
        caller.publish({
          destination,
          body: String(n),
          headers: { 'reply-to': '/temp-queue/answers', 'correlation-id': `call-${n}` },
        });
        const call = await calls.next();
        const address = call.headers['reply-to'];
        ok(address && address !== '/temp-queue/answers', `reply-to is rewritten: ${address}`);
        server.publish({
          destination: address,
          body: String(Number(call.body) * 2),
          headers: { 'correlation-id': call.headers['correlation-id'] },
        });
        call.ack();
        const answer = await caller.life.unhandled.next();
        equal([answer.body, answer.headers['correlation-id']], [String(n * 2), `call-${n}`], 'answer');
      }
    },
  },
  {
    name: 'tutorial: remote procedure call, reply-to a /temp-queue with a SUBSCRIBE',
    needs: ['gudok'],
    async run(world) {
      const destination = unique('/queue/rpc-');
      const server = await world.connect();
      const calls = await listen(server, destination);
      const caller = await world.connect();
      const answers = await listen(caller, '/temp-queue/answers', { ack: 'client-individual' });
      await send(caller, destination, 'ping', { 'reply-to': '/temp-queue/answers' });
      const call = await calls.next();
      await send(server, call.headers['reply-to'], 'pong');
      const answer = await answers.next();
      equal(answer.body, 'pong', 'answer');
      equal(caller.life.unhandled.values.length, 0, 'answers outside the subscription');
      await settle(caller, answer);
    },
  },
  {
    name: 'tutorial: remote procedure call, reply-to a queue of its own name',
    async run(world) {
      const destination = unique('/queue/rpc-');
      const reply = unique('/queue/reply-');
      const client = await world.connect();
      const calls = await listen(client, destination);
      const answers = await listen(client, reply);
      await send(client, destination, 'ping', { 'reply-to': reply });
      const call = await calls.next();
      equal(call.headers['reply-to'], reply, 'reply-to');
      await send(client, call.headers['reply-to'], 'pong');
      equal((await answers.next()).body, 'pong', 'answer');
    },
  },
  {
    name: 'tutorial: a /temp-queue of one connection is not that of another',
    needs: ['gudok'],
    async run(world) {
      const one = await world.connect();
      const two = await world.connect();
      const mine = await listen(one, '/temp-queue/same');
      const theirs = await listen(two, '/temp-queue/same');
      await send(one, '/temp-queue/same', 'to myself');
      await send(two, '/temp-queue/same', 'to myself too');
      equal((await mine.next()).body, 'to myself', 'the first gets its own');
      equal((await theirs.next()).body, 'to myself too', 'the second gets its own');
      equal([mine.values.length, theirs.values.length], [0, 0], 'what else came');
    },
  },
];
