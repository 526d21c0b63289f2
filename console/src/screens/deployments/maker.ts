import type { components } from "../../api/schema";
import { useSession } from "../../api/session";
import { deploymentTexts } from "../../strings/deployments";

type Version = Pick<components["schemas"]["VersionSummary"], "created_by" | "created_by_key">;

/** Who has made a version: the user, or a program by its key. */
export function makerOf({ created_by, created_by_key }: Version): string {
  if (created_by_key)
    return deploymentTexts.versions.key(`${created_by_key.slice(0, 4)}…${created_by_key.slice(-4)}`);
  const own = useSession.getState().session?.user.id;
  return created_by === null || created_by === own ? deploymentTexts.versions.you : created_by;
}
