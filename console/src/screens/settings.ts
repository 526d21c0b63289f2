/** The screens of the settings without API keys, which are loaded together. */
export { ProfileScreen } from "./account/profile";
export { SessionListScreen } from "./account/session-list";
export { AuditLogScreen } from "./audit/audit-log";
export { UserListScreen } from "./users/user-list";
