import { api } from "../../api/client";
import { useList } from "../../api/lists";
import { t } from "../../strings";
import { keyTexts } from "../../strings/keys";
import { Button } from "../../ui/button";
import { Checkbox, Choice } from "../../ui/choice";
import { Field, TextInput } from "../../ui/field";
import { Skeleton } from "../../ui/loading";
import { ErrorNotice } from "../../ui/notice";
import { Select } from "../../ui/select";
import { type Expiry, isLimit, type KeySettings, LIMIT_NAMES } from "./key-settings";
import styles from "./keys.module.css";

const SCOPES = ["trigger", "serve", "manage"] as const;

interface KeyFieldsProps {
  settings: KeySettings;
  onChange: (settings: KeySettings) => void;
  expiries: readonly Expiry[];
  /** By field, what the gateway has refused. */
  errors: Record<string, string>;
}

/** The fields of a key: of a new one, and of one that is there. */
export function KeyFields({ settings, onChange, expiries, errors }: KeyFieldsProps) {
  const set = (change: Partial<KeySettings>) => onChange({ ...settings, ...change });
  return (
    <>
      <Field label={keyTexts.name} error={errors["name"]}>
        <TextInput
          value={settings.name}
          onValueChange={(name) => set({ name })}
          required
          maxLength={200}
          autoComplete="off"
        />
      </Field>
      <Choice
        label={keyTexts.scope}
        value={settings.scope}
        onChange={(scope) => set({ scope })}
        options={SCOPES.map((value) => ({
          value,
          label: keyTexts.scopes[value]?.[0] ?? value,
          hint: keyTexts.scopes[value]?.[1],
        }))}
      />
      {settings.scope === "trigger" ? <Coverage settings={settings} set={set} errors={errors} /> : null}
      <div className={styles.columns}>
        <Field label={keyTexts.environment} hint={keyTexts.environmentHint} error={errors["environment"]}>
          <TextInput
            value={settings.environment}
            onValueChange={(environment) => set({ environment })}
            maxLength={32}
            autoComplete="off"
          />
        </Field>
        <Field label={keyTexts.expires} error={errors["expires_at"]}>
          <Select
            value={settings.expiry}
            onChange={(expiry) => set({ expiry })}
            options={expiries.map((value) => ({ value, label: keyTexts.expiries[value] ?? value }))}
          />
        </Field>
      </div>
      <Limits settings={settings} set={set} errors={errors} />
    </>
  );
}

interface PartProps {
  settings: KeySettings;
  set: (change: Partial<KeySettings>) => void;
  errors: Record<string, string>;
}

function Coverage({ settings, set, errors }: PartProps) {
  const some = settings.deployments !== null;
  return (
    <>
      <Choice
        label={keyTexts.covers}
        value={some ? "some" : "all"}
        onChange={(value) => set({ deployments: value === "some" ? [] : null })}
        options={[
          { value: "all", label: keyTexts.coversAll[0] ?? "", hint: keyTexts.coversAll[1] },
          { value: "some", label: keyTexts.coversSome[0] ?? "", hint: keyTexts.coversSome[1] },
        ]}
      />
      {settings.deployments ? (
        <ChosenDeployments
          ids={settings.deployments}
          onChange={(deployments) => set({ deployments })}
          error={errors["deployments"]}
        />
      ) : null}
      <Checkbox
        label={keyTexts.allRuns}
        checked={settings.allRuns}
        onChange={(allRuns) => set({ allRuns })}
      />
    </>
  );
}

interface ChosenDeploymentsProps {
  ids: readonly string[];
  onChange: (ids: readonly string[]) => void;
  error: string | undefined;
}

function ChosenDeployments({ ids, onChange, error }: ChosenDeploymentsProps) {
  const deployments = useList("/node/deployments/", async (query) => {
    const { data } = await api.GET("/node/deployments/", { params: { query } });
    return data;
  });
  if (!deployments.data)
    return deployments.error ? <ErrorNotice error={deployments.error} /> : <Skeleton rows={2} />;
  return (
    <fieldset className={styles.chosen}>
      <legend>{keyTexts.chosen}</legend>
      {deployments.data.length === 0 ? <p>{keyTexts.noDeployments}</p> : null}
      {deployments.data.map(({ id, name }) => (
        <Checkbox
          key={id}
          label={name}
          checked={ids.includes(id)}
          onChange={(checked) => onChange(checked ? [...ids, id] : ids.filter((each) => each !== id))}
        />
      ))}
      {deployments.hasNextPage ? (
        <Button onClick={() => void deployments.fetchNextPage()}>{t.common.more}</Button>
      ) : null}
      {error || ids.length === 0 ? <p className={styles.error}>{error ?? keyTexts.chooseOne}</p> : null}
    </fieldset>
  );
}

function Limits({ settings, set, errors }: PartProps) {
  const { limits } = settings;
  return (
    <details className={styles.more}>
      <summary>{keyTexts.limits}</summary>
      <p className={styles.hint}>{keyTexts.limitsHint}</p>
      <div className={styles.columns}>
        {LIMIT_NAMES.map((name) => (
          <Field
            key={name}
            label={keyTexts.limitNames[name] ?? name}
            error={isLimit(limits[name]) ? errors[name] : keyTexts.wholeNumber}
          >
            <TextInput
              inputMode="numeric"
              autoComplete="off"
              value={limits[name]}
              onValueChange={(text) => set({ limits: { ...limits, [name]: text } })}
            />
          </Field>
        ))}
      </div>
    </details>
  );
}

/** Whether a form can be sent: the rest is judged by the gateway. */
export function isComplete(settings: KeySettings): boolean {
  const covers = settings.scope !== "trigger" || settings.deployments?.length !== 0;
  return settings.name.trim() !== "" && covers && LIMIT_NAMES.every((name) => isLimit(settings.limits[name]));
}
