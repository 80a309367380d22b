/**
 * Draws, and where the element that had the focus is gone or moved by it (a row that went from one list to another),
 * gives the focus to the one that took its place: the same control of the same row, or else the row.
 */
export function keepFocus(root: HTMLElement, draw: () => void): void {
  const before = document.activeElement;
  const row = before?.closest<HTMLElement>('[data-focus-row]');
  draw();
  if (!(before instanceof HTMLElement) || document.activeElement === before) return;
  // Somebody else took it on purpose, a dialog that opened for one.
  if (document.activeElement !== document.body) return;
  // The title of a page that has come meanwhile, a field that was drawn anew.
  const same = before.id === '' ? null : document.getElementById(before.id);
  if (same !== null) {
    same.focus({ preventScroll: true });
    return;
  }
  if (!row) return;
  const newRow = root.querySelector<HTMLElement>(`[data-focus-row="${CSS.escape(row.dataset['focusRow'] ?? '')}"]`);
  if (newRow === null) return;
  const control = before.dataset['testid'];
  const sameControl = control ? newRow.querySelector<HTMLElement>(`[data-testid="${CSS.escape(control)}"]`) : null;
  (sameControl ?? newRow).focus({ preventScroll: true });
}
