import { equal, listen, ok, send, unique } from '../world.js';

export const headers = [
  ...['/queue/headers-', '/topic/headers.'].map(kind => ({
    name: `headers: the application's own pass through ${kind.slice(0, 6)}`,
    needs: ['gudok'],
    async run(world) {
      const destination = unique(kind);
      const client = await world.connect();
      const inbox = await listen(client, destination);
      await send(client, destination, 'x', {
        'content-type': 'application/json;charset=utf-8',
        'correlation-id': '42',
        persistent: 'true',
        priority: '4',
        foo: 'bar',
        'X-Mixed-Case': 'Kept',
        empty: '',
      });
      const { headers: got } = await inbox.next();
      equal(got['content-type'], 'application/json;charset=utf-8', 'content-type');
      equal(got['correlation-id'], '42', 'correlation-id');
      equal(got.foo, 'bar', 'foo');
      equal(got['X-Mixed-Case'], 'Kept', 'X-Mixed-Case');
      equal(got.empty, '', 'empty');
      equal(got.destination, destination, 'destination');
      ok(got['message-id'], 'message-id');
      equal(got.receipt, undefined, 'receipt of the SEND');
    },
  })),
  {
    name: 'headers: unicode in names and values',
    async run(world) {
      const destination = unique('/topic/headers.');
      const client = await world.connect();
      const inbox = await listen(client, destination);
      await send(client, destination, 'x', { 이름: '구독', сервер: 'Гудок', emoji: '📣🙂' });
      const { headers: got } = await inbox.next();
      equal([got['이름'], got['сервер'], got.emoji], ['구독', 'Гудок', '📣🙂'], 'values');
    },
  },
  {
    name: 'headers: colon, line ends and backslash survive 1.2',
    async run(world) {
      const destination = unique('/queue/headers-');
      const client = await world.connect();
      const inbox = await listen(client, destination);
      // stomp.js un-escapes one kind after another, so a backslash stands before no n, r or c here.
      const values = {
        colon: 'http://host:80/?a=b::',
        lf: 'one\ntwo\n\nthree',
        cr: 'one\rtwo\r\nthree',
        backslash: 'D:\\dir\\sub\\\\x',
        all: 'a:b\nd\r\\z',
        edge: ':first and last\\',
      };
      await send(client, destination, 'x', values);
      const { headers: got } = await inbox.next();
      for (const [name, value] of Object.entries(values)) equal(got[name], value, name);
    },
  },
  {
    name: 'headers: a colon in a value survives 1.1 and 1.0 as far as stomp.js allows',
    needs: ['gudok'],
    async run(world) {
      for (const version of ['1.0', '1.1']) {
        const destination = unique('/queue/headers-');
        const client = await world.connect({ versions: [version] });
        const inbox = await listen(client, destination);
        await send(client, destination, 'x', { colon: 'a:b' });
        const value = (await inbox.next()).headers.colon;
        // stomp.js does not un-escape on 1.1, where a broker has to escape.
        ok(value === 'a:b' || (version === '1.1' && value === 'a\\cb'), `${version}: ${value}`);
      }
    },
  },
  {
    name: 'headers: between versions, each gets what the other meant',
    async run(world) {
      const destination = unique('/topic/headers.');
      const sender = await world.connect({ versions: ['1.2'] });
      const receivers = await Promise.all(['1.0', '1.1', '1.2'].map(v => world.connect({ versions: [v] })));
      const inboxes = await Promise.all(receivers.map(client => listen(client, destination)));
      await send(sender, destination, '본문', { plain: 'value', 이름: '값' });
      for (const inbox of inboxes) {
        const message = await inbox.next();
        equal([message.body, message.headers.plain, message.headers['이름']], ['본문', 'value', '값'], 'message');
      }
    },
  },
  {
    name: "headers: the broker's own beat a publisher's copies",
    needs: ['gudok'],
    async run(world) {
      const destination = unique('/queue/headers-');
      const client = await world.connect();
      const inbox = await listen(client, destination, { ack: 'client-individual' });
      await send(client, destination, 'x', {
        'message-id': 'forged',
        subscription: 'forged',
        ack: 'forged',
        redelivered: 'true',
        'delivery-count': '99',
      });
      const message = await inbox.next();
      ok(message.headers['message-id'] !== 'forged', 'message-id');
      equal(message.headers.subscription, inbox.subscription.id, 'subscription');
      ok(message.headers.ack !== 'forged', 'ack');
      ok(message.headers.redelivered !== 'true', 'redelivered');
      ok(message.headers['delivery-count'] !== '99', 'delivery-count');
      message.ack();
      await send(client, unique('/topic/alive.'), 'still connected');
    },
  },
  {
    name: 'headers: ids made by the broker need no escaping',
    needs: ['gudok'],
    async run(world) {
      const destination = unique('/queue/headers-');
      const client = await world.connect();
      const inbox = await listen(client, destination, { ack: 'client' });
      await send(client, destination, 'x');
      const { headers: got } = await inbox.next();
      for (const name of ['message-id', 'ack']) {
        ok(/^[A-Za-z0-9_.-]+$/.test(got[name]), `${name}: ${got[name]}`);
      }
    },
  },
];
