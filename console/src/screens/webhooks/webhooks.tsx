import { Outlet } from "@tanstack/react-router";
import { webhookTexts } from "../../strings/webhooks";
import { Page } from "../../ui/page";
import { Tab, Tabs } from "../../ui/tabs";

/** The parts of webhooks: what was sent, to whom, and whether a signature is right. */
export function WebhooksScreen() {
  return (
    <Page title={webhookTexts.title}>
      <Tabs label={webhookTexts.tabs}>
        <Tab to="/webhooks" activeOptions={{ exact: true, includeSearch: false }}>
          {webhookTexts.deliveries}
        </Tab>
        <Tab to="/webhooks/endpoints">{webhookTexts.endpoints}</Tab>
        <Tab to="/webhooks/check">{webhookTexts.check}</Tab>
      </Tabs>
      <Outlet />
    </Page>
  );
}
