/** The screens of API keys, which are loaded together. */
export { KeyScreen } from "./key";
export { KeyListScreen } from "./key-list";
export { NewKeyDialog } from "./new-key";
