import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api } from "../../api/client";
import { deploymentTexts } from "../../strings/deployments";
import { errorMessage } from "../../ui/notice";
import { toast } from "../../ui/toast";

/** Makes a version live, and offers to make the one before live again. */
export function usePromotion(deploymentId: string) {
  const queries = useQueryClient();
  const promotion = useMutation({
    networkMode: "always", // a message's button shows nothing of a change that waits
    mutationFn: ({ version }: { version: number; before: number | null }) =>
      api.POST("/node/deployments/{deployment_id}/versions/{number}/promote/", {
        params: { path: { deployment_id: deploymentId, number: version } },
      }),
    onSuccess: async (_, { version, before }) => {
      await queries.invalidateQueries();
      toast(
        deploymentTexts.versions.promoted(version),
        before === null
          ? undefined
          : { label: deploymentTexts.versions.undo, onPress: () => promote(before) },
      );
    },
    onError: (error, { before }) => {
      // A dialog shows it; the button of a message has none.
      if (before === null) toast(errorMessage(error));
    },
  });
  /** Without a dialog, as the button of a message does. */
  const promote = (version: number) => promotion.mutate({ version, before: null });
  return { promotion, promote };
}
