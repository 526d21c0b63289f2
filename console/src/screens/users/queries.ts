import { api } from "../../api/client";
import { useList } from "../../api/lists";
import type { components } from "../../api/schema";
import { useSession } from "../../api/session";
import { settingsTexts } from "../../strings/settings";

export type User = components["schemas"]["UserOut"];
export type Role = User["role"];

/** What the keys of queries start with. */
export const USERS = "/node/users/";

export const ROLES: readonly Role[] = ["member", "admin", "owner"];

export function useUsers() {
  return useList(USERS, async (query) => {
    const { data } = await api.GET(USERS, { params: { query } });
    return data;
  });
}

/** Why this user cannot manage users; null: admins and owners can. */
export function useNoAdminReason(): string | null {
  const role = useSession(({ session }) => session?.user.role);
  return role === "member" ? settingsTexts.onlyAdmins : null;
}

/** Why this user cannot change another one; null: that is possible. */
export function useNoChangeReason(user: User): string | null {
  const own = useSession(({ session }) => session?.user);
  if (own?.id === user.id) return settingsTexts.notYourself;
  return user.role === "owner" && own?.role !== "owner" ? settingsTexts.onlyOwners : null;
}
