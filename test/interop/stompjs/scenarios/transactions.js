import { drop, equal, listen, receipt, send, settle, unique } from '../world.js';

// BEGIN, COMMIT and ABORT of stomp.js carry no receipt; the frame after them does, and the broker
// works through a connection's frames in order.
function passed(client) {
  return send(client, unique('/topic/barrier.'), 'barrier');
}

export const transactions = [
  ...['/queue/tx-', '/topic/tx.'].map(kind => ({
    name: `transaction: SENDs to ${kind.slice(0, 6)} appear at COMMIT, together and in order`,
    needs: ['gudok'],
    async run(world) {
      const destination = unique(kind);
      const client = await world.connect();
      const inbox = await listen(client, destination);
      const tx = client.begin();
      for (const body of ['1', '2', '3']) {
        client.publish({ destination, body, headers: { transaction: tx.id } });
      }
      await send(client, destination, 'outside');
      equal((await inbox.next()).body, 'outside', 'what came before COMMIT');
      tx.commit();
      const messages = await inbox.take(3);
      equal(messages.map(message => message.body), ['1', '2', '3'], 'what came at COMMIT');
      equal(messages[0].headers.transaction, undefined, 'transaction header of a MESSAGE');
    },
  })),
  {
    name: 'transaction: ABORT leaves no trace, and the name may be used again',
    async run(world) {
      const destination = unique('/queue/tx-');
      const client = await world.connect();
      const inbox = await listen(client, destination);
      for (const round of [1, 2]) {
        const tx = client.begin('the same name');
        client.publish({ destination, body: 'never', headers: { transaction: tx.id } });
        tx.abort();
        await send(client, destination, `marker ${round}`);
        equal((await inbox.next()).body, `marker ${round}`, 'what came');
      }
    },
  },
  {
    name: 'transaction: two at once do not mix',
    async run(world) {
      const destination = unique('/queue/tx-');
      const client = await world.connect();
      const inbox = await listen(client, destination);
      const a = client.begin();
      const b = client.begin();
      client.publish({ destination, body: 'a1', headers: { transaction: a.id } });
      client.publish({ destination, body: 'b1', headers: { transaction: b.id } });
      client.publish({ destination, body: 'a2', headers: { transaction: a.id } });
      b.commit();
      equal((await inbox.next()).body, 'b1', 'what came at the first COMMIT');
      a.commit();
      equal(await inbox.bodies(2), ['a1', 'a2'], 'what came at the second COMMIT');
    },
  },
  {
    name: 'transaction: an ACK inside counts at COMMIT',
    async run(world) {
      const destination = unique('/queue/tx-');
      const one = await world.connect();
      const inbox = await listen(one, destination, { ack: 'client-individual' });
      await send(one, destination, 'work');
      const tx = one.begin();
      const message = await inbox.next();
      message.ack({ transaction: tx.id });
      one.publish({ destination: `${destination}-out`, body: 'result', headers: { transaction: tx.id } });
      tx.commit();
      await passed(one);
      await drop(one);

      const two = await world.connect();
      const again = await listen(two, destination);
      await send(two, destination, 'marker');
      equal((await again.next()).body, 'marker', 'the acknowledged message is gone');
      const out = await listen(two, `${destination}-out`);
      equal((await out.next()).body, 'result', 'the result');
    },
  },
  {
    name: 'transaction: an ACK inside an aborted one never was; it can be acknowledged again',
    async run(world) {
      const destination = unique('/queue/tx-');
      const one = await world.connect();
      const inbox = await listen(one, destination, { ack: 'client-individual' });
      await send(one, destination, 'kept');
      await send(one, destination, 'done');
      const [kept, done] = await inbox.take(2);
      const tx = one.begin();
      kept.ack({ transaction: tx.id });
      done.ack({ transaction: tx.id });
      tx.abort();
      await settle(one, done);
      await drop(one);

      const two = await world.connect();
      const again = await listen(two, destination);
      const message = await again.next();
      equal([message.body, message.headers.redelivered], ['kept', 'true'], 'what comes again');
      await send(two, destination, 'marker');
      equal((await again.next()).body, 'marker', 'and nothing else');
    },
  },
  {
    name: 'transaction: a NACK inside counts at COMMIT',
    needs: ['gudok'],
    async run(world) {
      const destination = unique('/queue/tx-');
      const client = await world.connect();
      const inbox = await listen(client, destination, { ack: 'client-individual' });
      await send(client, destination, 'refused');
      const message = await inbox.next();
      const tx = client.begin();
      message.nack({ transaction: tx.id });
      await send(client, destination, 'other');
      equal((await inbox.next()).body, 'other', 'before COMMIT it does not come again');
      tx.commit();
      const again = await inbox.next();
      equal([again.body, again.headers.redelivered], ['refused', 'true'], 'after COMMIT it does');
    },
  },
  {
    name: 'transaction: a lost connection is an ABORT',
    async run(world) {
      const destination = unique('/queue/tx-');
      const one = await world.connect();
      const tx = one.begin();
      one.publish({ destination, body: 'never', headers: { transaction: tx.id } });
      await passed(one);
      await drop(one);

      const two = await world.connect();
      const inbox = await listen(two, destination);
      await send(two, destination, 'marker');
      equal((await inbox.next()).body, 'marker', 'what came');
    },
  },
  {
    name: 'transaction: a SEND inside gets its receipt',
    async run(world) {
      const destination = unique('/queue/tx-');
      const client = await world.connect();
      const tx = client.begin();
      const done = receipt(client);
      client.publish({ destination, body: 'x', headers: { transaction: tx.id, ...done.headers } });
      tx.commit();
      await done.promise;
    },
  },
  {
    name: 'transaction: COMMIT of an unknown one is an ERROR',
    needs: ['gudok'],
    async run(world) {
      const client = await world.connect();
      client.commit('never begun');
      const error = await client.life.errors.next();
      equal(typeof error.headers.message, 'string', 'message header');
      await client.life.closes.next();
    },
  },
];
