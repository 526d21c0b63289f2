import { bodyOf } from "../../api/change";
import { api } from "../../api/client";
import { webhookTexts } from "../../strings/webhooks";
import { useAction } from "../../ui/action";
import type { MenuAction } from "../../ui/menu";
import { toast } from "../../ui/toast";
import { type Endpoint, WEBHOOKS } from "./queries";

/** Disable a webhook, which holds its events; or enable it, and send those that were held. */
export function useWebhookSwitch(endpoint: Endpoint): MenuAction {
  const { deployment_name: name, deployment_id, disabled_at, created_at } = endpoint;
  const params = { path: { deployment_id } };
  const setState = (state: Endpoint["state"]) =>
    api.PATCH("/node/webhooks/endpoints/{deployment_id}/", { params, body: { state } });
  const disable = useAction(() => setState("disabled"), {
    reloads: [WEBHOOKS],
    onDone: () => toast(webhookTexts.isDisabled(name)),
  });
  const enable = useAction(
    async () => {
      await setState("enabled");
      const body = { since: disabled_at ?? created_at, only_failed: true };
      return bodyOf(await api.POST("/node/webhooks/endpoints/{deployment_id}/replay/", { params, body }));
    },
    { reloads: [WEBHOOKS], onDone: ({ replayed }) => toast(webhookTexts.isEnabled(name, replayed)) },
  );
  return endpoint.state === "enabled"
    ? { label: webhookTexts.disable, onSelect: disable }
    : { label: webhookTexts.enable, onSelect: enable };
}
