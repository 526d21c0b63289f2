const ROWS = "#content table tbody tr";
const GRID = "#content [role=grid]";
const CONTROL = "a, button";
const MENU = "[aria-haspopup=menu]";
const FILTER = "#content [data-list-filter]";

/** Move the focus to the next or previous row of the page's list. Returns whether it has one. */
export function moveRow(step: 1 | -1): boolean {
  const rows = [...document.querySelectorAll<HTMLElement>(ROWS)].filter((row) => row.querySelector(CONTROL));
  if (rows.length === 0) {
    const grid = document.querySelector<HTMLElement>(GRID); // which has these keys itself while it has the focus
    grid?.focus();
    return grid !== null;
  }
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const next = at < 0 ? 0 : Math.max(0, Math.min(at + step, rows.length - 1));
  rows[next]?.querySelector<HTMLElement>(CONTROL)?.focus();
  return true;
}

/** Move the focus to the first filter of the page's list. Returns whether it has one. */
export function focusFilter(): boolean {
  const filter = document.querySelector<HTMLInputElement>(FILTER);
  const box = filter?.closest("details");
  if (box) box.open = true;
  filter?.focus();
  filter?.select();
  return filter !== null;
}

/** Open the menu of actions of the row that has the focus, else of the page. Returns whether there is one. */
export function openActions(): boolean {
  const row = document.activeElement?.closest("tbody tr");
  const menus = [...document.querySelectorAll<HTMLElement>(`#content ${MENU}`)];
  const menu = menus.find((each) => (row ? row.contains(each) : !each.closest("tbody")));
  menu?.click();
  return menu !== undefined;
}

/** Open a tab of the page by its number, from 1 on. Returns whether there is one. */
export function openTab(number: number): boolean {
  const tab = document.querySelectorAll<HTMLElement>("#content [data-tabs] a")[number - 1];
  tab?.click();
  return tab !== undefined;
}
