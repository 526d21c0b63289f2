import { hooks } from "../../api/client";
import { useSession } from "../../api/session";

/** Whether the user may change a model: its owner, admins and owners. False until that is known. */
export function useManages(name: string | undefined): boolean {
  const user = useSession((state) => state.session?.user);
  const model = hooks.useQuery(
    "get",
    "/node/models/{name}/",
    { params: { path: { name: name ?? "" } } },
    { enabled: name !== undefined },
  );
  if (!user) return false;
  return user.role !== "member" || model.data?.owner_id === user.id;
}
