// A Gudok of the test's own: the binary that GUDOK_BINARY names, on ports of the system's choice.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import readline from 'node:readline';

const START = 10_000; // ms
const END = 15_000; // ms

/** Whether the broker agrees to compression: STOMP_COMPRESSION=on. */
export const compression = process.env.STOMP_COMPRESSION === 'on';

export const login = 'alice';
// The word that the harness searches for in what the broker prints is in it.
export const passcode = 'correct horse c4n4ry staple';

export class Broker {
  // more is further lines of its configuration.
  static async start(binary = process.env.GUDOK_BINARY, more = '') {
    if (!binary) throw new Error('GUDOK_BINARY must name the broker (go build -o /somewhere/broker ./cmd/broker)');
    const broker = new Broker();
    broker.binary = path.resolve(binary);
    broker.directory = mkdtempSync(path.join(tmpdir(), 'gudok-stompjs-'));
    broker.listen = { http: '127.0.0.1:0', tcp: '127.0.0.1:0' };
    broker.more = more;
    broker.log = [];
    const made = spawnSync(broker.binary, ['passwd'], { input: `${passcode}\n`, encoding: 'utf8' });
    if (made.status !== 0) throw new Error(`broker passwd: exit code ${made.status}: ${made.stderr}`);
    broker.hash = made.stdout.trim();
    await broker.run();
    // Later runs take the same ports, so that clients find the broker again.
    broker.listen = { http: new URL(broker.url).host, tcp: broker.tcp };
    return broker;
  }

  async run() {
    const config = path.join(this.directory, 'gudok.yaml');
    writeFileSync(
      config,
      `http: { listen: "${this.listen.http}", compression: ${compression ? 'on' : 'off'} }
tcp: { listen: "${this.listen.tcp}" }
heartbeat: { send: 1s, receive: 1s, min: 1s }
users:
  - { name: ${login}, password_hash: '${this.hash}' }
${this.more}
`,
    );
    // The broker takes GUDOK_ variables for settings; this test's are none.
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('GUDOK_')));
    this.process = spawn(this.binary, ['-config', config], {
      cwd: this.directory,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const process_ = this.process;
    this.ended = once(process_, 'exit').then(([code, signal]) => {
      if (!process_.expected) this.complain(`the broker ended by itself: code ${code}, signal ${signal}`);
      return { code, signal };
    });
    const ports = new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error('the broker printed no addresses')), START);
      readline.createInterface({ input: this.process.stdout }).on('line', line => {
        this.note(line);
        this.url = line.match(/^ +WebSocket +(ws:\S+)/)?.[1] ?? this.url;
        this.tcp = line.match(/^ +TCP +stomp:\/\/(\S+)/)?.[1] ?? this.tcp;
        this.page = line.match(/^ +Open +(http:\S+)/)?.[1] ?? this.page;
        if (this.url && this.tcp && /^ +Queues /.test(line)) {
          clearTimeout(late);
          resolve();
        }
      });
      this.ended.then(({ code }) => {
        clearTimeout(late);
        reject(new Error(`the broker did not start: exit code ${code}\n${this.log.join('\n')}`));
      });
    });
    readline.createInterface({ input: this.process.stderr }).on('line', line => this.note(line));
    await ports;
  }

  note(line) {
    this.log.push(line);
    if (this.log.length > 400) this.log.shift();
  }

  complain(what) {
    console.error(`${what}\n${this.log.slice(-40).join('\n')}`);
  }

  /** Ends the broker by signal and says how it ended. */
  async end(signal) {
    this.process.expected = true;
    this.process.kill(signal);
    const late = setTimeout(() => {
      this.complain(`the broker did not end on ${signal}`);
      this.process.kill('SIGKILL');
    }, END);
    const end = await this.ended;
    clearTimeout(late);
    return end;
  }

  async restart(signal) {
    const end = await this.end(signal);
    await this.run();
    return end;
  }

  async stop() {
    const { code } = await this.end('SIGTERM');
    rmSync(this.directory, { recursive: true, force: true });
    const race = this.log.findIndex(line => line.includes('DATA RACE'));
    if (race >= 0) throw new Error(`the broker has a data race:\n${this.log.slice(race).join('\n')}`);
    if (code !== 0) throw new Error(`the broker ended with ${code}:\n${this.log.slice(-40).join('\n')}`);
  }
}

/**
 * What the tests talk to: a Gudok of their own, or the broker that STOMP_URL names (with STOMP_LOGIN
 * and STOMP_PASSCODE), against which only those scenarios run that any STOMP broker should pass.
 */
export async function subject() {
  const url = process.env.STOMP_URL;
  if (url) {
    return {
      url,
      login: process.env.STOMP_LOGIN ?? 'guest',
      passcode: process.env.STOMP_PASSCODE ?? 'guest',
      offers: [],
      control: () => Promise.reject(new Error('not our broker')),
      stop: async () => {},
      complain: () => {},
    };
  }
  const broker = await Broker.start();
  return {
    url: broker.url,
    login,
    passcode,
    offers: ['gudok', 'control'],
    control: async (action, signal) => broker.restart(signal),
    stop: () => broker.stop(),
    complain: what => broker.complain(what),
  };
}
