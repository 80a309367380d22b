// Which rows of a long list are in sight. Pure.

export interface RowWindow {
  readonly first: number;
  /** The row after the last. */
  readonly end: number;
}

/**
 * @param above how far the list's top is above the window's, in pixels; negative where it is below.
 * @param height of the window.
 * @param overscan rows on either side that are ready before they are seen; the window moves in steps of half of that.
 */
export function rowsInSight(above: number, height: number, rowHeight: number, count: number, overscan = 12): RowWindow {
  const step = Math.max(1, Math.floor(overscan / 2));
  const top = Math.floor(above / rowHeight) - overscan;
  const first = Math.min(Math.max(0, Math.floor(top / step) * step), Math.max(0, count));
  const bottom = Math.ceil((above + height) / rowHeight) + overscan;
  return { first, end: Math.max(first, Math.min(count, Math.ceil(bottom / step) * step)) };
}
