// Failures in full, then the counts: `# pass 12` and the like for scripts, one closing line for people.
export default async function* report(events) {
  const counts = { pass: 0, fail: 0, skipped: 0 };
  for await (const { type, data } of events) {
    if (type === 'test:stderr' || type === 'test:stdout') yield data.message;
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.details.type === 'suite') continue;
    if (data.skip !== undefined) counts.skipped++;
    else if (type === 'test:pass') counts.pass++;
    else {
      counts.fail++;
      const cause = data.details.error.cause ?? data.details.error;
      yield `FAILED ${data.name} (${data.file}:${data.line})\n${cause.stack ?? cause}\n\n`;
    }
  }
  for (const [name, count] of Object.entries(counts)) yield `# ${name} ${count}\n`;
  yield `dashboard: ${counts.pass} passed, ${counts.fail} failed\n`;
}
