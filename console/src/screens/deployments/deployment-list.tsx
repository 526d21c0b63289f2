import { getRouteApi } from "@tanstack/react-router";
import { api } from "../../api/client";
import { useList } from "../../api/lists";
import { deploymentTexts } from "../../strings/deployments";
import { Button, ButtonLink } from "../../ui/button";
import { Field } from "../../ui/field";
import { FilterField } from "../../ui/filter-field";
import { List } from "../../ui/list";
import { EmptyState, Page } from "../../ui/page";
import { filterOptions, Select } from "../../ui/select";
import styles from "./deployment.module.css";
import { DEPLOYMENT_COLUMNS } from "./deployment-columns";
import { MODES, readDeploymentSearch, STATES } from "./deployment-search";

const route = getRouteApi("/app/deployments");
const words = deploymentTexts.deployments;

export function DeploymentListScreen() {
  const search = route.useSearch();
  const { q = "", mode, state } = search;
  const navigate = route.useNavigate();
  const show = (next: Record<string, string>) =>
    void navigate({ search: readDeploymentSearch(next), replace: true });
  const deployments = useList(
    `/node/deployments/?${new URLSearchParams({ ...search })}`,
    async (query) => {
      const filter = { ...(q ? { q } : {}), ...(mode ? { mode } : {}), ...(state ? { status: state } : {}) };
      const { data } = await api.GET("/node/deployments/", { params: { query: { ...query, ...filter } } });
      return data;
    },
    { isFiltered: true },
  );
  return (
    <Page title={words.title}>
      <div className={styles.filters}>
        <FilterField
          label={words.filter}
          type="search"
          value={q}
          onChange={(text) => show({ ...search, q: text })}
        />
        <Field label={words.mode}>
          <Select
            value={mode ?? ""}
            options={filterOptions(
              words.any,
              MODES.map((one) => [one, deploymentTexts.deploy.modes[one]?.[0] ?? one]),
            )}
            onChange={(value) => show({ ...search, mode: value })}
          />
        </Field>
        <Field label={words.state}>
          <Select
            value={state ?? ""}
            options={filterOptions(
              words.any,
              STATES.map((one) => [one, words.states[one]]),
            )}
            onChange={(value) => show({ ...search, state: value })}
          />
        </Field>
      </div>
      <List
        label={words.title}
        query={deployments}
        columns={DEPLOYMENT_COLUMNS}
        keyOf={(deployment) => deployment.id}
        empty={
          Object.keys(search).length ? (
            <EmptyState
              text={words.noMatch}
              action={<Button onClick={() => show({})}>{words.clear}</Button>}
            />
          ) : (
            <EmptyState
              text={words.empty}
              action={
                <ButtonLink to="/flows" look="primary">
                  {words.toFlows}
                </ButtonLink>
              }
            />
          )
        }
      />
    </Page>
  );
}
