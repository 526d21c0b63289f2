import { hooks } from "../../api/client";
import { useZone } from "../../formats/zone";
import { deploymentTexts } from "../../strings/deployments";
import { runListTexts } from "../../strings/run-list";
import { runTexts } from "../../strings/runs";
import { Button } from "../../ui/button";
import { Field, TextInput } from "../../ui/field";
import { FilterField } from "../../ui/filter-field";
import { filterOptions, Select } from "../../ui/select";
import { changed, RUN_MODES, RUN_STATUSES, type RunSearch } from "./run-search";
import styles from "./runs.module.css";

const LIMIT = 200;
const words = runListTexts.filters;
const TESTS = [
  ["false", words.noTests],
  ["true", words.onlyTests],
] as const;

interface FilterProps {
  search: RunSearch;
  onSearch: (search: RunSearch) => void;
}

/** The filters of a list of runs; on narrow screens they are opened. */
export function RunFilters(props: FilterProps & { ofOne: "deployment" | "flow" | undefined }) {
  const { search, onSearch, ofOne } = props;
  const active = Object.keys(search).length - (ofOne ? 1 : 0);
  const set = <Name extends keyof RunSearch>(name: Name, value: RunSearch[Name] | undefined) =>
    onSearch(changed(search, name, value));
  return (
    <details className={styles.filterBox} open={window.innerWidth >= 768}>
      <summary>{active ? words.titleOf(active) : words.title}</summary>
      <div className={styles.filters}>
        <Field label={words.status}>
          <Select
            value={search.status ?? ""}
            options={filterOptions(
              words.any,
              RUN_STATUSES.map((one) => [one, runTexts.runs.statuses[one] ?? one]),
            )}
            onChange={(value) =>
              set(
                "status",
                RUN_STATUSES.find((one) => one === value),
              )
            }
          />
        </Field>
        {ofOne === "deployment" ? null : <DeploymentFilter search={search} onSearch={onSearch} />}
        <NumberFilter
          label={words.version}
          error={words.versionWrong}
          value={search.version}
          isValid={(value) => Number.isSafeInteger(value) && value >= 1}
          onChange={(value) => set("version", value)}
        />
        <KeyFilter search={search} onSearch={onSearch} />
        <FilterField
          label={words.code}
          value={search.code ?? ""}
          onChange={(value) => set("code", value || undefined)}
        />
        <Field label={words.mode}>
          <Select
            value={search.mode ?? ""}
            options={filterOptions(
              words.any,
              RUN_MODES.map((one) => [one, deploymentTexts.deploy.modes[one]?.[0] ?? one]),
            )}
            onChange={(value) =>
              set(
                "mode",
                RUN_MODES.find((one) => one === value),
              )
            }
          />
        </Field>
        <NumberFilter
          label={words.minSeconds}
          error={words.secondsWrong}
          value={search.min_seconds}
          isValid={(value) => Number.isFinite(value) && value >= 0}
          onChange={(value) => set("min_seconds", value)}
        />
        {ofOne === "deployment" ? null : (
          <Field label={words.tests}>
            <Select
              value={String(search.test ?? "")}
              options={filterOptions(words.any, TESTS)}
              onChange={(value) => set("test", value === "" ? undefined : value === "true")}
            />
          </Field>
        )}
        <TimeFilter label={words.from} value={search.from} onChange={(value) => set("from", value)} />
        <TimeFilter label={words.to} value={search.to} onChange={(value) => set("to", value)} />
        {active ? (
          <Button
            className={styles.clear}
            onClick={() => onSearch(ofOne ? { [ofOne]: search[ofOne] ?? "" } : {})}
          >
            {runTexts.runs.clear}
          </Button>
        ) : null}
      </div>
    </details>
  );
}

function DeploymentFilter({ search, onSearch }: FilterProps) {
  const query = { limit: LIMIT };
  const deployments = hooks.useQuery("get", "/node/deployments/", { params: { query } });
  const found = deployments.data?.items.map(({ id, name }) => [id, name] as const) ?? [];
  return (
    <Field label={words.deployment}>
      <Select
        value={search.deployment ?? ""}
        options={filterOptions(words.any, withChosen(found, search.deployment))}
        onChange={(value) => onSearch(changed(search, "deployment", value || undefined))}
      />
    </Field>
  );
}

function KeyFilter({ search, onSearch }: FilterProps) {
  const query = { limit: LIMIT };
  const keys = hooks.useQuery("get", "/node/api-keys/", { params: { query } });
  const found = keys.data?.items.map(({ id, name }) => [id, name] as const) ?? [];
  return (
    <Field label={words.key}>
      <Select
        value={search.key ?? ""}
        options={filterOptions(words.any, withChosen(found, search.key))}
        onChange={(value) => onSearch(changed(search, "key", value || undefined))}
      />
    </Field>
  );
}

/** What the URL names is offered, also if it is not among those that were loaded. */
function withChosen(found: readonly (readonly [string, string])[], id: string | undefined) {
  return id === undefined || found.some(([known]) => known === id) ? found : [...found, [id, id] as const];
}

interface NumberFilterProps {
  label: string;
  error: string;
  value: number | undefined;
  isValid: (value: number) => boolean;
  onChange: (value: number | undefined) => void;
}

function NumberFilter({ label, error, value, isValid, onChange }: NumberFilterProps) {
  return (
    <FilterField
      label={label}
      error={error}
      value={value === undefined ? "" : String(value)}
      read={(text) => (text === "" ? "" : isValid(Number(text)) ? String(Number(text)) : null)}
      onChange={(text) => onChange(text === "" ? undefined : Number(text))}
    />
  );
}

interface TimeFilterProps {
  label: (isUtc: boolean) => string;
  value: string | undefined;
  onChange: (value: string | undefined) => void;
}

/** A time of the zone that was chosen, which the URL has as UTC. */
function TimeFilter({ label, value, onChange }: TimeFilterProps) {
  const isUtc = useZone(({ zone }) => zone === "utc");
  return (
    <Field label={label(isUtc)}>
      <TextInput
        type="datetime-local"
        value={value ? typedTime(new Date(value), isUtc) : ""}
        onValueChange={(text) =>
          onChange(text ? new Date(isUtc ? `${text}Z` : text).toISOString() : undefined)
        }
      />
    </Field>
  );
}

function typedTime(time: Date, isUtc: boolean): string {
  const ahead = isUtc ? 0 : time.getTimezoneOffset() * 60_000;
  return new Date(time.getTime() - ahead).toISOString().slice(0, 16);
}
