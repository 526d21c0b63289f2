/** Return the id of what describes a control and says what is wrong with it. */
export function descriptionId(id: string): string {
  return `${id}-description`;
}
