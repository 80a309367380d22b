// The few signs of the navigation, drawn with lines in the colour of the text.

import { html, svg, type SVGTemplateResult, type TemplateResult } from 'lit-html';
import type { PageName } from '../router.ts';

const shapes: Record<PageName, SVGTemplateResult> = {
  overview: svg`<path d="M3 13a9 9 0 0 1 18 0M12 13l4-4M5 19h14" />`,
  streams: svg`<path d="M4 6h10M4 12h16M4 18h7M17 3v6M15 7l2 2 2-2" />`,
  domains: svg`<rect x="3" y="4" width="18" height="12" rx="2" /><path d="M9 20h6M12 16v4" />`,
  deployments: svg`<path d="M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9" />`,
  migrations: svg`<path d="M4 8h13M14 5l3 3-3 3M20 16H7M10 13l-3 3 3 3" />`,
  hosts: svg`<rect x="4" y="4" width="16" height="7" rx="1.5" /><rect x="4" y="13" width="16" height="7" rx="1.5" /><path d="M8 7.5h.01M8 16.5h.01" />`,
};

export function icon(name: PageName): TemplateResult {
  return html`<svg class="icon" viewBox="0 0 24 24" width="20" height="20" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.75"
    stroke-linecap="round" stroke-linejoin="round">${shapes[name]}</svg>`;
}
