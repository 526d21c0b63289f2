import { getRouteApi } from "@tanstack/react-router";
import { runTexts } from "../../strings/runs";
import { Page } from "../../ui/page";
import { RunBrowser } from "./run-browser";

const route = getRouteApi("/app/runs");

export function RunListScreen() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  return (
    <Page title={runTexts.runs.title}>
      <RunBrowser search={search} onSearch={(next) => void navigate({ search: next, replace: true })} />
    </Page>
  );
}
