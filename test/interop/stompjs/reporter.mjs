// Tells a calling program how each test ended, one JSON object a line: {name, ok, skip, ms, why}.

export default async function* report(source) {
  for await (const { type, data } of source) {
    if (type === 'test:stderr' || type === 'test:stdout') {
      yield `${JSON.stringify({ output: data.message })}\n`;
    }
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    const error = data.details.error;
    const why = error && [error.cause?.message ?? error.message, error.cause?.stack].filter(Boolean).join('\n');
    const skip = data.skip === true ? 'skipped' : data.skip;
    yield `${JSON.stringify({ name: data.name, ok: type === 'test:pass', skip, ms: Math.round(data.details.duration_ms), why })}\n`;
  }
}
