import { Inbox, equal, listen, ok, receipt, send, unique } from '../world.js';

export const receipts = [
  {
    name: 'receipts: for SUBSCRIBE, SEND, ACK, NACK, UNSUBSCRIBE, in the order they were asked for',
    needs: ['gudok'],
    async run(world) {
      const destination = unique('/queue/receipts-');
      const client = await world.connect();
      const inbox = await listen(client, destination, { ack: 'client-individual' });
      await send(client, destination, '1');
      await send(client, destination, '2');
      const [first, second] = await inbox.take(2);

      const order = [];
      const asked = [];
      const ask = what => {
        const id = unique(`${what}-`);
        asked.push(id);
        client.watchForReceipt(id, frame => order.push(frame.headers['receipt-id']));
        return { receipt: id };
      };
      client.subscribe(unique('/topic/receipts.'), () => {}, ask('subscribe'));
      for (let n = 0; n < 5; n++) {
        client.publish({ destination: unique('/queue/receipts-'), body: 'x', headers: ask('queue') });
        client.publish({ destination: unique('/topic/receipts.'), body: 'x', headers: ask('topic') });
      }
      first.ack(ask('ack'));
      second.nack(ask('nack'));
      inbox.subscription.unsubscribe(ask('unsubscribe'));
      const last = receipt(client);
      client.publish({ destination: unique('/topic/receipts.'), body: 'x', headers: last.headers });
      await last.promise;
      equal(order, asked, 'receipts');
    },
  },
  {
    name: 'receipts: for SUBSCRIBE comes before its first MESSAGE',
    async run(world) {
      const destination = unique('/queue/receipts-');
      const client = await world.connect();
      for (let n = 0; n < 20; n++) client.publish({ destination, body: String(n) });
      await send(client, destination, 'last');
      const seen = [];
      const inbox = new Inbox('a MESSAGE');
      client.watchForReceipt('subscribed', () => seen.push('RECEIPT'));
      client.subscribe(
        destination,
        message => {
          seen.push('MESSAGE');
          inbox.put(message);
        },
        { receipt: 'subscribed' },
      );
      await inbox.take(21);
      equal(seen[0], 'RECEIPT', 'first frame');
      equal(seen.filter(what => what === 'RECEIPT').length, 1, 'receipts');
    },
  },
  {
    name: 'receipts: ids come back as they were, and each once',
    async run(world) {
      const client = await world.connect();
      const unhandled = [];
      client.onUnhandledReceipt = frame => unhandled.push(frame.headers['receipt-id']);
      for (const id of ['1', 'with space', 'a:b', '수신', 'x'.repeat(200)]) {
        await new Promise(resolve => {
          client.watchForReceipt(id, resolve);
          client.publish({ destination: unique('/topic/receipts.'), body: 'x', headers: { receipt: id } });
        });
      }
      await send(client, unique('/topic/receipts.'), 'x');
      equal(unhandled, [], 'receipts nobody asked for');
    },
  },
  {
    name: 'receipts: a RECEIPT for SEND means that a subscriber who comes now gets it',
    async run(world) {
      const destination = unique('/queue/receipts-');
      const client = await world.connect();
      const other = await world.connect();
      await send(client, destination, 'stored');
      equal((await (await listen(other, destination)).next()).body, 'stored', 'body');
    },
  },
  {
    name: 'receipts: a frame that fails gives ERROR with its receipt-id',
    needs: ['gudok'],
    async run(world) {
      const client = await world.connect();
      client.publish({ destination: 'no-prefix', body: 'x', headers: { receipt: 'failing' } });
      const error = await client.life.errors.next();
      equal(error.headers['receipt-id'], 'failing', 'receipt-id');
      ok(error.headers.message, 'message header');
      await client.life.closes.next();
    },
  },
];
