import { Inbox, drop, equal, listen, ok, receipt, send, settle, unique } from '../world.js';

export const subscriptions = [
  {
    name: 'subscriptions: several of one connection to one topic each get the message',
    async run(world) {
      const destination = unique('/topic/subs.');
      const client = await world.connect();
      const inboxes = [];
      for (let n = 0; n < 3; n++) inboxes.push(await listen(client, destination));
      await send(client, destination, 'x');
      const messages = await Promise.all(inboxes.map(inbox => inbox.next()));
      equal(
        messages.map(message => message.headers.subscription),
        inboxes.map(inbox => inbox.subscription.id),
        'subscription headers',
      );
      ok(messages.every(message => message.headers['message-id']), 'message-ids');
      inboxes[1].subscription.unsubscribe();
      await send(client, destination, 'y');
      equal((await inboxes[0].next()).body, 'y', 'the first goes on');
      equal((await inboxes[2].next()).body, 'y', 'the third goes on');
      equal(inboxes[1].values.length, 0, 'messages after UNSUBSCRIBE');
    },
  },
  {
    name: 'subscriptions: several of one connection to one queue share it',
    async run(world) {
      const destination = unique('/queue/subs-');
      const client = await world.connect();
      const headers = { ack: 'client-individual', 'prefetch-count': '1' };
      const one = await listen(client, destination, headers);
      const two = await listen(client, destination, headers);
      await send(client, destination, '1');
      await send(client, destination, '2');
      const [a, b] = await Promise.all([one.next(), two.next()]);
      equal([a.body, b.body].sort(), ['1', '2'], 'bodies');
      await settle(client, a);
      await settle(client, b);
    },
  },
  {
    name: 'subscriptions: UNSUBSCRIBE from within the handler, by the message',
    async run(world) {
      const destination = unique('/topic/subs.');
      const client = await world.connect();
      const inbox = new Inbox('a MESSAGE');
      const done = receipt(client);
      client.subscribe(
        destination,
        message => {
          client.unsubscribe(message.headers.subscription);
          inbox.put(message);
        },
        done.headers,
      );
      await done.promise;
      const witness = await listen(client, destination);
      await send(client, destination, 'first');
      await inbox.next();
      await send(client, destination, 'second');
      equal(await witness.bodies(2), ['first', 'second'], 'the other subscription');
      equal(inbox.values.length, 0, 'messages after UNSUBSCRIBE');
    },
  },
  {
    name: "subscriptions: an id of the application's own",
    async run(world) {
      const destination = unique('/queue/subs-');
      const client = await world.connect();
      const inbox = await listen(client, destination, { id: 'my own/id:1' });
      await send(client, destination, 'x');
      equal((await inbox.next()).headers.subscription, 'my own/id:1', 'subscription header');
    },
  },
  {
    name: 'subscriptions: one id used twice is an ERROR',
    needs: ['gudok'],
    async run(world) {
      const client = await world.connect();
      await listen(client, unique('/topic/subs.'), { id: 'twice' });
      client.subscribe(unique('/topic/subs.'), () => {}, { id: 'twice' });
      ok((await client.life.errors.next()).headers.message, 'message header');
      await client.life.closes.next();
    },
  },
  {
    name: 'subscriptions: the same id on two connections does not collide',
    async run(world) {
      const destination = unique('/topic/subs.');
      const one = await world.connect();
      const two = await world.connect();
      const inboxes = [await listen(one, destination, { id: 'sub-0' }), await listen(two, destination, { id: 'sub-0' })];
      await send(one, destination, 'both');
      for (const inbox of inboxes) equal((await inbox.next()).body, 'both', 'body');
    },
  },
  ...[
    ['SUBSCRIBE', client => client.subscribe('nowhere', () => {}, { receipt: 'r' })],
    ['SEND', client => client.publish({ destination: '/nowhere/x', body: 'x', headers: { receipt: 'r' } })],
  ].map(([command, act]) => ({
    name: `subscriptions: ${command} to a name without a known prefix is an ERROR that lists them`,
    needs: ['gudok'],
    async run(world) {
      const client = await world.connect({ reconnectDelay: 100 });
      act(client);
      const error = await client.life.errors.next();
      ok(error.headers.message, 'message header');
      equal(error.headers['receipt-id'], 'r', 'receipt-id');
      for (const prefix of ['/topic/', '/queue/', '/temp-queue/']) {
        ok(`${error.headers.message}\n${error.body}`.includes(prefix), `the ERROR names ${prefix}: ${error.body}`);
      }
      const close = await client.life.closes.next();
      ok(close.code !== 1006, `close code ${close.code} (${close.reason})`);
      await client.life.connects.next();
    },
  })),
  {
    name: 'subscriptions: with gudok-errors:soft a refused frame ends nothing',
    needs: ['gudok'],
    async run(world) {
      const client = await world.connect({
        connectHeaders: { login: world.login, passcode: world.passcode, 'gudok-errors': 'soft' },
      });
      client.subscribe('nowhere', () => {}, { receipt: 'soft' });
      const error = await client.life.errors.next();
      equal([error.headers.fatal, error.headers['receipt-id']], ['false', 'soft'], 'fatal and receipt-id');
      const destination = unique('/queue/subs-');
      const inbox = await listen(client, destination);
      await send(client, destination, 'alive');
      equal((await inbox.next()).body, 'alive', 'body');
    },
  },
  {
    name: 'subscriptions: a queue keeps what came before its first subscriber',
    async run(world) {
      const destination = unique('/queue/subs-');
      const one = await world.connect();
      for (const body of ['1', '2', '3']) await send(one, destination, body);
      await drop(one);
      const two = await world.connect();
      equal(await (await listen(two, destination)).bodies(3), ['1', '2', '3'], 'bodies');
    },
  },
  {
    name: 'subscriptions: a topic keeps nothing',
    async run(world) {
      const destination = unique('/topic/subs.');
      const client = await world.connect();
      await send(client, destination, 'too early');
      const inbox = await listen(client, destination);
      await send(client, destination, 'now');
      equal((await inbox.next()).body, 'now', 'body');
    },
  },
  {
    name: 'subscriptions: two queue consumers both get work',
    async run(world) {
      const destination = unique('/queue/subs-');
      const one = await world.connect();
      const two = await world.connect();
      const inboxes = [await listen(one, destination), await listen(two, destination)];
      for (let n = 0; n < 20; n++) await send(one, destination, String(n));
      const marker = unique('/topic/subs.');
      const barriers = [await listen(one, marker), await listen(two, marker)];
      await send(one, marker, 'x');
      for (const barrier of barriers) await barrier.next();
      const counts = inboxes.map(inbox => inbox.values.length);
      equal(counts[0] + counts[1], 20, 'messages in all');
      ok(counts[0] >= 5 && counts[1] >= 5, `both get their share: ${counts}`);
    },
  },
  {
    name: 'user: /user/queue/x is private and reaches every session of its user',
    needs: ['gudok'],
    async run(world) {
      const one = await world.connect();
      const two = await world.connect();
      const name = unique('news-');
      const inboxes = [await listen(one, `/user/queue/${name}`), await listen(two, `/user/queue/${name}`)];
      await send(one, `/user/${world.login}/queue/${name}`, 'for you');
      for (const inbox of inboxes) equal((await inbox.next()).body, 'for you', 'body');
    },
  },
];
