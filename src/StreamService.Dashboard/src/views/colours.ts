// Colours of the theme for what is painted by script. The style sheet alone knows them.

const dark = window.matchMedia('(prefers-color-scheme: dark)');

export function colour(property: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(property).trim();
}

/** @returns ends the subscription. */
export function onThemeChange(listener: () => void): () => void {
  dark.addEventListener('change', listener);
  return () => dark.removeEventListener('change', listener);
}
