import { en } from "./en";

/**
 * The texts of the shell and of the first pages; the files beside this one have those of an area, which are
 * loaded with its screens. Another language is another set of objects of these types.
 */
export type Strings = typeof en;
export const t: Strings = en;
