import { drop, equal, listen, ok, receipt, send, settle, unique } from '../world.js';

async function fill(client, destination, bodies) {
  for (const body of bodies) client.publish({ destination, body });
  await send(client, destination, 'last');
  return [...bodies, 'last'];
}

function redelivered(messages) {
  return messages.map(message => message.headers.redelivered === 'true');
}

const flags = (count, value) => Array.from({ length: count }, () => value);

export const acknowledging = [
  {
    name: 'ack auto: delivered is consumed, and no ack header comes',
    async run(world) {
      const destination = unique('/queue/auto-');
      const first = await world.connect();
      await fill(first, destination, ['1', '2']);
      const inbox = await listen(first, destination);
      const messages = await inbox.take(3);
      equal(messages.map(message => message.body), ['1', '2', 'last'], 'bodies');
      equal(messages[0].headers.ack, undefined, 'ack header');
      await drop(first);

      const second = await world.connect();
      const again = await listen(second, destination);
      await send(second, destination, 'marker');
      equal((await again.next()).body, 'marker', 'first message after a drop');
    },
  },
  {
    name: 'ack auto: an ACK nobody asked for, even of id "undefined", ends nothing',
    needs: ['gudok'],
    async run(world) {
      const destination = unique('/queue/auto-');
      const client = await world.connect();
      const inbox = await listen(client, destination);
      await send(client, destination, 'one');
      const message = await inbox.next();
      message.ack();
      const done = receipt(client);
      client.ack('undefined', inbox.subscription.id, done.headers);
      await done.promise;
      await send(client, destination, 'two');
      equal((await inbox.next()).body, 'two', 'body');
    },
  },
  ...['1.0', '1.1', '1.2'].map(version => ({
    name: `ack client on ${version}: one ACK covers all before it`,
    async run(world) {
      const destination = unique('/queue/client-');
      const first = await world.connect({ versions: [version] });
      await fill(first, destination, ['1', '2', '3', '4']);
      const inbox = await listen(first, destination, { ack: 'client' });
      const messages = await inbox.take(5);
      equal(redelivered(messages), flags(5, false), 'redelivered at first');
      await settle(first, messages[2]);
      await drop(first);

      const second = await world.connect({ versions: [version] });
      const again = await (await listen(second, destination, { ack: 'client' })).take(2);
      equal(again.map(message => message.body), ['4', 'last'], 'what was not acknowledged, in order');
      equal(redelivered(again), flags(2, true), 'redelivered');
      await settle(second, again[1]);
    },
  })),
  ...['1.1', '1.2'].map(version => ({
    name: `ack client-individual on ${version}: one ACK covers one message`,
    async run(world) {
      const destination = unique('/queue/individual-');
      const first = await world.connect({ versions: [version] });
      await fill(first, destination, ['1', '2', '3', '4']);
      const inbox = await listen(first, destination, { ack: 'client-individual' });
      const messages = await inbox.take(5);
      await settle(first, messages[1]);
      await settle(first, messages[3]);
      await drop(first);

      const second = await world.connect({ versions: [version] });
      const again = await (await listen(second, destination, { ack: 'client-individual' })).take(3);
      equal(again.map(message => message.body), ['1', '3', 'last'], 'what was not acknowledged, in order');
      equal(redelivered(again), flags(3, true), 'redelivered');
      for (const message of again) await settle(second, message);
      await drop(second);

      const third = await world.connect();
      const rest = await listen(third, destination);
      await send(third, destination, 'marker');
      equal((await rest.next()).body, 'marker', 'nothing is left');
    },
  })),
  ...['1.1', '1.2'].map(version => ({
    name: `nack on ${version}: the message comes again, marked and counted`,
    needs: ['gudok'],
    async run(world) {
      const destination = unique('/queue/nack-');
      const client = await world.connect({ versions: [version] });
      const inbox = await listen(client, destination, { ack: 'client-individual' });
      await send(client, destination, 'again');
      const first = await inbox.next();
      ok(first.headers.redelivered !== 'true', 'the first delivery is not marked');
      await settle(client, first, 'nack');
      const second = await inbox.next();
      equal(second.body, 'again', 'body');
      equal(second.headers.redelivered, 'true', 'redelivered');
      const count = Number(second.headers['delivery-count']);
      ok(count >= 1, `delivery-count ${second.headers['delivery-count']}`);
      await settle(client, second, 'nack');
      const third = await inbox.next();
      equal(Number(third.headers['delivery-count']), count + 1, 'delivery-count of the third');
      await settle(client, third);
    },
  })),
  {
    name: 'nack: another consumer may take what one refused',
    needs: ['gudok'],
    async run(world) {
      const destination = unique('/queue/nack-');
      const one = await world.connect();
      const inbox = await listen(one, destination, { ack: 'client-individual' });
      await send(one, destination, 'not mine');
      const message = await inbox.next();
      const two = await world.connect();
      const other = await listen(two, destination, { ack: 'client-individual' });
      const done = receipt(one);
      message.nack();
      inbox.subscription.unsubscribe(done.headers);
      await done.promise;
      // It may have come back to the first before its UNSUBSCRIBE; either way it ends here.
      const taken = await other.next();
      equal(taken.body, 'not mine', 'body');
      equal(taken.headers.redelivered, 'true', 'redelivered');
      await settle(two, taken);
    },
  },
  {
    name: 'nack client: it is cumulative, as ACK is',
    needs: ['gudok'],
    async run(world) {
      const destination = unique('/queue/nack-');
      const client = await world.connect();
      await fill(client, destination, ['1', '2']);
      const inbox = await listen(client, destination, { ack: 'client' });
      const messages = await inbox.take(3);
      await settle(client, messages[1], 'nack');
      const again = await inbox.take(2);
      equal(again.map(message => message.body).sort(), ['1', '2'], 'what came again');
      equal(redelivered(again), flags(2, true), 'redelivered');
      await settle(client, again[1]);
    },
  },
  {
    name: 'nack: requeue:false makes a dead letter',
    needs: ['gudok'],
    async run(world) {
      const name = unique('nack-');
      const client = await world.connect();
      const inbox = await listen(client, `/queue/${name}`, { ack: 'client-individual' });
      await send(client, `/queue/${name}`, 'poison', { kind: 'odd' });
      await settle(client, await inbox.next(), 'nack', { requeue: 'false' });
      const dead = await (await listen(client, `/dlq/${name}`)).next();
      equal([dead.body, dead.headers.kind], ['poison', 'odd'], 'dead letter');
      ok(dead.headers['dlq-reason'], 'dlq-reason');
      equal(inbox.values.length, 0, 'deliveries after it');
    },
  },
  {
    name: 'unacknowledged: UNSUBSCRIBE gives them back at once, a late ACK is no fault',
    needs: ['gudok'],
    async run(world) {
      const destination = unique('/queue/back-');
      const one = await world.connect();
      await fill(one, destination, ['1', '2']);
      const inbox = await listen(one, destination, { ack: 'client-individual' });
      const messages = await inbox.take(3);
      const gone = receipt(one);
      inbox.subscription.unsubscribe(gone.headers);
      await gone.promise;
      await settle(one, messages[0]);

      const two = await world.connect();
      const again = await (await listen(two, destination, { ack: 'client' })).take(3);
      equal(again.map(message => message.body), ['1', '2', 'last'], 'in order');
      equal(redelivered(again), flags(3, true), 'redelivered');
      await settle(two, again[2]);
      await send(one, unique('/topic/alive.'), 'the first connection lives');
    },
  },
  ...['prefetch-count', 'activemq.prefetchSize'].map(name => ({
    name: `prefetch: ${name}:1 holds the second message until the first is acknowledged`,
    needs: name === 'prefetch-count' ? [] : ['gudok'],
    async run(world) {
      const destination = unique('/queue/prefetch-');
      const one = await world.connect();
      const inbox = await listen(one, destination, { ack: 'client-individual', [name]: '1' });
      await send(one, destination, '1');
      await send(one, destination, '2');
      const first = await inbox.next();
      // The second is free for somebody else, which proves that it is not on its way here.
      const two = await world.connect();
      const other = await listen(two, destination, { ack: 'client-individual', [name]: '1' });
      const second = await other.next();
      equal([first.body, second.body], ['1', '2'], 'bodies');
      equal(inbox.values.length, 0, 'messages beyond the prefetch');
      await send(one, destination, '3');
      await settle(one, first);
      const third = await inbox.next();
      equal(third.body, '3', 'body after the ACK');
      await settle(one, third);
      await settle(two, second);
    },
  })),
  {
    name: 'ack: a thousand messages keep their order and come once',
    async run(world) {
      const destination = unique('/queue/order-');
      const client = await world.connect();
      const inbox = await listen(client, destination, { ack: 'client' });
      const bodies = Array.from({ length: 1000 }, (_, n) => String(n));
      for (const body of bodies) client.publish({ destination, body });
      const got = [];
      while (got.length < bodies.length) {
        const message = await inbox.next();
        got.push(message.body);
        if (got.length % 10 === 0) message.ack();
      }
      equal(got, bodies, 'order');
      await send(client, destination, 'marker');
      equal((await inbox.next()).body, 'marker', 'nothing came twice');
    },
  },
];
