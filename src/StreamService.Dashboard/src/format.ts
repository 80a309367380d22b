// Numbers and times as people read them. Pure: the locale and the zone are the viewer's, or given by a test.

import type { Problem } from './model.ts';

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
export const mebibyte = 1024 * 1024;
export const none = '–';

/** Bytes in binary units, three significant digits: `512 B`, `64.0 KiB`, `1.50 GiB`, `238 MiB`. */
export function formatBytes(bytes: number | null | undefined): string {
  if (bytes === null || bytes === undefined || !Number.isFinite(bytes) || bytes < 0) return none;
  let value = bytes;
  let unit = 0;
  // 1023.5 would be shown as 1024: the next unit then.
  while (value >= 1023.5 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  if (unit === 0) return `${Math.round(value)} B`;
  const digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

/** A size that is mostly a round number (of a disk, of a cluster): `20 GiB`, `64 KiB`, `1.5 GiB`. */
export function formatSize(bytes: number | null | undefined): string {
  return formatBytes(bytes).replace(/\.(\d*?)0+ /, (_, kept: string) => (kept === '' ? ' ' : `.${kept} `));
}

export function formatRate(bytesPerSecond: number | null | undefined): string {
  const text = formatBytes(bytesPerSecond);
  return text === none ? none : `${text}/s`;
}

/** A limit: 0 stands for none. */
export function formatBandwidth(bytesPerSecond: number | null | undefined): string {
  if (bytesPerSecond === 0) return 'unlimited';
  const text = formatSize(bytesPerSecond);
  return text === none ? none : `${text}/s`;
}

/** The two largest units of a span: `8 s`, `4 min 12 s`, `2 h 5 min`, `3 d 4 h`. */
export function formatDuration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds) || seconds < 0) return none;
  const total = Math.round(seconds);
  if (total < 60) return `${total} s`;
  const pairs: [number, string][] = [[86_400, 'd'], [3_600, 'h'], [60, 'min'], [1, 's']];
  const first = pairs.findIndex(([length]) => total >= length);
  const [length, name] = pairs[first]!;
  const [nextLength, nextName] = pairs[first + 1]!;
  const rest = Math.floor((total % length) / nextLength);
  return `${Math.floor(total / length)} ${name}${rest > 0 ? ` ${rest} ${nextName}` : ''}`;
}

export function secondsBetween(from: string | null | undefined, to: string | null | undefined): number | null {
  if (!from || !to) return null;
  const seconds = (Date.parse(to) - Date.parse(from)) / 1000;
  return Number.isFinite(seconds) ? seconds : null;
}

/** The time of day in the viewer's zone, with the date where it is not today's. */
export function formatTime(time: string | null | undefined, now: Date = new Date(), locale?: string): string {
  if (!time) return none;
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return none;
  return date.toDateString() === now.toDateString()
    ? date.toLocaleTimeString(locale, { hour: '2-digit', minute: '2-digit', second: '2-digit' })
    : date.toLocaleString(locale, { year: 'numeric', month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' });
}

/** The same where there is little room: the time of another day only as far as it matters. */
export function formatShortTime(time: string | null | undefined, now: Date = new Date(), locale?: string): string {
  const date = new Date(time ?? '');
  if (Number.isNaN(date.getTime())) return none;
  if (date.toDateString() === now.toDateString()) return formatTime(time, now, locale);
  return date.getFullYear() === now.getFullYear()
    ? date.toLocaleString(locale, { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' })
    : date.toLocaleDateString(locale, { year: 'numeric', month: 'short', day: 'numeric' });
}

/** Everything about a moment, for a tooltip. */
export function formatFullTime(time: string | null | undefined, locale?: string): string {
  const date = new Date(time ?? '');
  return Number.isNaN(date.getTime()) ? '' : date.toLocaleString(locale, { dateStyle: 'full', timeStyle: 'long' });
}

/** Rounded down: `100 %` is said of what is complete only. */
export function formatPercent(fraction: number | null): string {
  if (fraction === null) return none;
  return `${(Math.floor(Math.min(Math.max(fraction, 0), 1) * 1000) / 10).toFixed(1)} %`;
}

/** The last part of a path or address, and what comes before it: `/srv/images/` and `base.qcow2`. */
export function splitPath(path: string): { folder: string; name: string } {
  const trimmed = path.replace(/\/+$/, '');
  const cut = trimmed.lastIndexOf('/') + 1;
  return { folder: trimmed.slice(0, cut), name: trimmed.slice(cut) };
}

export function bandwidthToMebibytes(bytesPerSecond: number | null | undefined): string {
  return String(Number(((bytesPerSecond ?? 0) / mebibyte).toFixed(3)));
}

/**
 * What a person typed as MiB/s, in bytes per second.
 * @returns null where it is not a number, or one that the service would refuse.
 */
export function mebibytesToBandwidth(text: string): number | null {
  const trimmed = text.trim().replace(',', '.');
  if (!/^(\d+\.?\d*|\.\d+)$/.test(trimmed)) return null;
  const bytes = Math.round(Number(trimmed) * mebibyte);
  return Number.isSafeInteger(bytes) ? bytes : null;
}

/** The faults that a problem document lists of one member, as sentences. */
export function faultsOf(problem: Problem | undefined, member: string): string[] {
  const { errors } = problem ?? {};
  if (typeof errors !== 'object' || errors === null || Array.isArray(errors)) return [];
  return [(errors as Record<string, unknown>)[member] ?? []].flat().map(fault).filter((text) => text !== '');
}

/**
 * The single faults that a problem document lists, as sentences. Their form differs: faults by member
 * (`{"bandwidth": ["must not be negative"]}`), or a list of texts or of `{detail, pointer}`.
 * @param told members whose faults are told elsewhere.
 */
export function problemFaults(problem: Problem, told: readonly string[] = []): string[] {
  const { errors } = problem;
  if (typeof errors !== 'object' || errors === null) return [];
  if (Array.isArray(errors)) return errors.map(fault).filter((text) => text !== '');
  return Object.entries(errors).filter(([member]) => !told.includes(member)).flatMap(([member, texts]: [string, unknown]) =>
    [texts].flat().map((text) => (member === '' || member === '$' ? fault(text) : `${member}: ${fault(text)}`)));
}

function fault(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value !== 'object' || value === null) return '';
  const { detail, message, pointer, member } = value as Record<string, unknown>;
  const text = detail ?? message;
  if (typeof text !== 'string') return '';
  const where = pointer ?? member;
  return typeof where === 'string' && where !== '' ? `${where.replace(/^#?\//, '')}: ${text}` : text;
}

/** A name of the API as words: `shutOff` is "shut off". */
export function formatWords(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

/** The time of day in the viewer's zone, as short as it can be: for axes. */
export function formatClock(seconds: number, withSeconds: boolean): string {
  const date = new Date(seconds * 1000);
  return [date.getHours(), date.getMinutes(), ...(withSeconds ? [date.getSeconds()] : [])].map((part) => String(part).padStart(2, '0')).join(':');
}

export function formatMilliseconds(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return none;
  return `${value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : value.toFixed(0)} ms`;
}

/** A number of things: `1 stream`, `12 streams`. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString('en-GB')} ${count === 1 ? one : many}`;
}

export function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
