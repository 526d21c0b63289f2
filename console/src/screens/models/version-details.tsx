import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { X } from "lucide-react";
import { type FormEvent, useState } from "react";
import { api, hooks } from "../../api/client";
import type { components } from "../../api/schema";
import { bytes } from "../../formats/formats";
import { t } from "../../strings";
import { modelTexts } from "../../strings/models";
import { AsCurl } from "../../ui/as-curl";
import { Button, IconButton } from "../../ui/button";
import { Id } from "../../ui/copy";
import { Field, TextInput } from "../../ui/field";
import { ErrorNotice } from "../../ui/notice";
import { Section } from "../../ui/page";
import { Table } from "../../ui/table";
import styles from "./models.module.css";
import type { ModelSummary } from "./summaries";

type Manifest = components["schemas"]["ManifestOut"];
type Tensor = components["schemas"]["TensorSpec"];
type ModelFile = components["schemas"]["File"];

interface VersionDetailsProps {
  manifest: Manifest;
  /** Null: not known yet. */
  model: ModelSummary | null;
  manages: boolean;
}

/** What a version takes and returns, its files, labels and users. */
export function VersionDetails({ manifest, model, manages }: VersionDetailsProps) {
  const { name, version, inputs, outputs, files, opset, producer } = manifest;
  const operatorSets = Object.entries(opset).map(([domain, number]) => `${domain} ${number}`);
  return (
    <>
      <Section title={modelTexts.modelVersion.inputs}>
        <Tensors
          label={modelTexts.modelVersion.inputs}
          tensors={inputs}
          unserved={manifest.unsupported_inputs}
        />
      </Section>
      <Section title={modelTexts.modelVersion.outputs}>
        <Tensors
          label={modelTexts.modelVersion.outputs}
          tensors={outputs}
          unserved={manifest.unsupported_outputs}
        />
      </Section>
      {model ? <UsedBy model={model} version={version} /> : null}
      <Labels name={name} version={version} manages={manages} />
      <Section title={modelTexts.modelVersion.files}>
        <Table
          label={modelTexts.modelVersion.files}
          rows={files as ModelFile[]}
          keyOf={(file) => file.path}
          columns={FILE_COLUMNS}
        />
      </Section>
      <Section title={modelTexts.modelVersion.facts}>
        <dl className={styles.facts}>
          <dt>{modelTexts.modelVersion.opset}</dt>
          <dd>{operatorSets.join(", ")}</dd>
          <dt>{modelTexts.modelVersion.producer}</dt>
          <dd>{producer || t.common.unknown}</dd>
          <dt>{modelTexts.modelVersion.calls}</dt>
          <dd>{sharing(manifest.rows)}</dd>
        </dl>
      </Section>
    </>
  );
}

function sharing(rows: Manifest["rows"]): string {
  if (!rows) return modelTexts.modelVersion.uncheckedRuns;
  if (rows.reason === null) return modelTexts.modelVersion.sharedRuns;
  return modelTexts.modelVersion.aloneRuns(rows.reason);
}

const FILE_COLUMNS = [
  { title: modelTexts.modelVersion.path, cell: (file: ModelFile) => file.path },
  { title: modelTexts.modelVersion.size, cell: (file: ModelFile) => bytes(file.size) },
  { title: modelTexts.modelVersion.hash, cell: (file: ModelFile) => <Id id={file.sha256} /> },
];

interface Row {
  name: string;
  datatype: string;
  shape: string;
  remark: string;
}

function Tensors(props: {
  label: string;
  tensors: readonly unknown[];
  unserved: Readonly<Record<string, string>>;
}) {
  const rows: Row[] = [
    ...(props.tensors as Tensor[]).map((tensor) => ({
      name: tensor.name,
      datatype: tensor.datatype,
      shape: tensor.shape ? `[${tensor.shape.join(", ")}]` : modelTexts.modelVersion.any,
      remark: remarkOf(tensor),
    })),
    ...Object.entries(props.unserved).map(([name, type]) => ({
      name,
      datatype: type,
      shape: "",
      remark: modelTexts.models.notServed,
    })),
  ];
  return <Table label={props.label} rows={rows} keyOf={(row) => row.name} columns={TENSOR_COLUMNS} />;
}

function remarkOf({ optional, class_labels, columns }: Tensor): string {
  if (columns) return modelTexts.modelVersion.columns(columns.join(", "));
  if (class_labels) return modelTexts.modelVersion.classes(class_labels.join(", "));
  return optional ? modelTexts.modelVersion.optional : "";
}

const TENSOR_COLUMNS = [
  { title: modelTexts.modelVersion.tensor, cell: (row: Row) => <code>{row.name}</code> },
  { title: modelTexts.modelVersion.datatype, cell: (row: Row) => row.datatype },
  { title: modelTexts.modelVersion.shape, cell: (row: Row) => <code>{row.shape}</code> },
  { title: modelTexts.modelVersion.remark, cell: (row: Row) => row.remark },
];

function UsedBy({ model, version }: { model: ModelSummary; version: number }) {
  const pinned = model.used_by.filter((each) => each.version === version);
  const numbers = model.versions.map((each) => each.version);
  return (
    <>
      {model.version_count > 1 ? (
        <Section title={modelTexts.modelVersion.versions}>
          <div className={styles.chips}>
            {numbers.map((number) => (
              <Link
                key={number}
                to="/models/$name/versions/$version"
                params={{ name: model.name, version: String(number) }}
                className={styles.chip}
                activeProps={{}}
                {...(number === version ? { "aria-current": "page" as const } : {})}
              >
                {modelTexts.models.version(number)}
              </Link>
            ))}
            {model.version_count > numbers.length ? (
              <span className={styles.faint}>{modelTexts.modelVersion.onlyNewest(model.version_count)}</span>
            ) : null}
          </div>
        </Section>
      ) : null}
      <Section title={modelTexts.modelVersion.usedBy}>
        {pinned.length ? (
          <ul className={styles.chips}>
            {pinned.map((each) => (
              <li key={each.deployment_id}>
                <Link
                  to="/deployments/$deploymentId/code"
                  params={{ deploymentId: each.deployment_id }}
                  className={styles.chip}
                >
                  {each.name}
                </Link>
              </li>
            ))}
          </ul>
        ) : (
          <p className={styles.faint}>{modelTexts.modelVersion.notUsed}</p>
        )}
        {model.used_by_others ? (
          <p className={styles.faint}>{modelTexts.modelVersion.others(model.used_by_others)}</p>
        ) : null}
      </Section>
    </>
  );
}

function Labels({ name, version, manages }: { name: string; version: number; manages: boolean }) {
  const queries = useQueryClient();
  const model = hooks.useQuery("get", "/node/models/{name}/", { params: { path: { name } } });
  const [label, setLabel] = useState("");
  const changed = () => void queries.invalidateQueries();
  const set = useMutation({
    mutationFn: (given: string) =>
      api.PUT("/node/models/{name}/labels/{label}/", {
        params: { path: { name, label: given } },
        body: { version },
      }),
    onSuccess: (_, given) => {
      setLabel((now) => (now === given ? "" : now));
      changed();
    },
  });
  const remove = useMutation({
    mutationFn: (old: string) =>
      api.DELETE("/node/models/{name}/labels/{label}/", { params: { path: { name, label: old } } }),
    onSuccess: changed,
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!set.isPending) set.mutate(label);
  };
  const own = Object.entries(model.data?.labels ?? {}).filter(([, number]) => number === version);
  return (
    <Section title={modelTexts.modelVersion.labels}>
      {own.length ? (
        <ul className={styles.chips}>
          {own.map(([each]) => (
            <li key={each} className={styles.chip}>
              {each}
              {manages ? (
                <IconButton
                  label={modelTexts.modelVersion.removeLabel(each)}
                  onClick={() => remove.isPending || remove.mutate(each)}
                >
                  <X size={14} aria-hidden />
                </IconButton>
              ) : null}
            </li>
          ))}
        </ul>
      ) : (
        <p className={styles.faint}>{modelTexts.modelVersion.noLabels}</p>
      )}
      {manages ? (
        <form onSubmit={submit} className={styles.labelForm}>
          <Field label={modelTexts.modelVersion.labelName}>
            <TextInput value={label} onValueChange={setLabel} required maxLength={128} />
          </Field>
          <Button type="submit" disabled={label === "" || set.isPending}>
            {modelTexts.modelVersion.setLabel}
          </Button>
          <p className={styles.faint}>{modelTexts.modelVersion.labelHint}</p>
          {label === "" ? null : (
            <AsCurl
              calls={[
                {
                  method: "PUT",
                  path: `/node/models/${encodeURIComponent(name)}/labels/${encodeURIComponent(label)}/`,
                  body: { version },
                },
              ]}
            />
          )}
        </form>
      ) : (
        <p className={styles.faint}>{modelTexts.modelVersion.notYours}</p>
      )}
      {set.error || remove.error ? <ErrorNotice error={set.error ?? remove.error} /> : null}
    </Section>
  );
}
