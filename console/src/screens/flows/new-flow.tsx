import { useMutation, useQueryClient } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { api, hooks } from "../../api/client";
import type { components } from "../../api/schema";
import { uploadModel } from "../../api/upload";
import { t } from "../../strings";
import { firstStepTexts } from "../../strings/first-steps";
import { AsCurl } from "../../ui/as-curl";
import { Button } from "../../ui/button";
import { Choice } from "../../ui/choice";
import { Dialog } from "../../ui/dialog";
import { useDroppedFile } from "../../ui/dropped-file";
import { Field, TextInput } from "../../ui/field";
import { ErrorNotice } from "../../ui/notice";
import { copyOf, createExactFlow, type ExactFlow } from "./exact-flow";
import { EXAMPLE_NAMES, EXAMPLES, type ExampleName } from "./example-flows";
import { FilePicker } from "./file-picker";
import { ImportFields, useImport } from "./import-flow";
import { ModelChoice, Signature } from "./model-choice";
import { blankFlow, isModelFile, modelNameOf } from "./model-flow";
import styles from "./new-flow.module.css";
import { flowRequests, importRequests, modelRequests } from "./new-flow-requests";
import type { NewFlowSource } from "./new-flow-sources";
import { UploadProgress } from "./upload-progress";

type Manifest = components["schemas"]["ManifestOut"];
type Starter = components["schemas"]["StarterOut"];

const route = getRouteApi("/app/flows/new");
const FORM = "new-flow";

export function NewFlowDialog() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const queries = useQueryClient();
  const models = hooks.useQuery("get", "/node/models/");
  const [source, setSource] = useState<"existing" | NewFlowSource | null>(search.from ?? null);
  const [example, setExample] = useState<ExampleName>("checked-order");
  const [picked, setModel] = useState<string | null>(search.model ?? null);
  const [file, setFile] = useState<File | null>(null);
  const [modelName, setModelName] = useState("");
  const [flowName, setFlowName] = useState<string | null>(null);
  const [sent, setSent] = useState(0);
  const abort = useRef<AbortController>(null);
  const published = useRef<{ file: File; manifest: Manifest }>(null);
  useEffect(() => () => abort.current?.abort(), []);
  const imported = useImport();
  const takeModel = (taken: File) => {
    setFile(taken);
    setModelName(modelNameOf(taken.name));
    setSource("upload"); // also when its upload makes it the first of the models
  };
  useDroppedFile((dropped) => (isModelFile(dropped.name) ? takeModel(dropped) : imported.take(dropped)));

  const [only, ...others] = models.data?.items ?? [];
  const model = picked ?? (only && others.length === 0 ? only.name : null);
  const hasNoModels = models.data !== undefined && only === undefined;
  // Not before it is known that there are none: what a user has clicked meanwhile must not change.
  const chosen = source ?? (hasNoModels ? "upload" : "existing");
  const titles = {
    existing: () => titleOf(model),
    upload: () => titleOf(modelName),
    example: () => EXAMPLES[example].name,
    blank: () => firstStepTexts.newFlow.blankName,
    import: () => imported.flow?.name ?? "",
  };
  /** What it is called until the user calls it something else. */
  const name = flowName ?? titles[chosen]();

  const make = useMutation({
    mutationFn: async () => createExactFlow(await flow()),
    onSuccess: () => queries.invalidateQueries(),
  });

  const flow = async (): Promise<ExactFlow> => {
    if (chosen === "blank") return blankFlow(name);
    if (chosen === "example") return copyOf(EXAMPLES[example], name);
    if (chosen === "import" && imported.flow) return copyOf(imported.flow, name);
    const source = chosen === "existing" ? (model ?? "") : (await upload()).name;
    return { name, ...(await starter(source)).flow };
  };
  const upload = async (): Promise<Manifest> => {
    if (!file) throw new Error("a file is chosen before the form can be sent");
    // It was published, and only the flow could not be made: a second upload would be another version.
    const earlier = published.current;
    if (earlier?.file === file && earlier.manifest.name === modelName) return earlier.manifest;
    setSent(0);
    abort.current = new AbortController();
    const { signal } = abort.current;
    const manifest = await uploadModel({ file, name: modelName, onProgress: setSent, signal });
    published.current = { file, manifest };
    return manifest;
  };
  const close = () => {
    void navigate({ to: "/flows", search: {} });
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    make.mutate(undefined, {
      onSuccess: ({ id }) =>
        void navigate({ to: "/flows/$flowId/edit", params: { flowId: id }, replace: true }),
    });
  };
  const isReady =
    name.trim() !== "" &&
    {
      existing: model !== null,
      upload: file !== null && modelName !== "",
      example: true,
      blank: true,
      import: imported.flow !== null,
    }[chosen];
  const requests = {
    existing: () => modelRequests(model ?? ""),
    upload: () => modelRequests(modelName, file?.name ?? ""),
    example: () => flowRequests(copyOf(EXAMPLES[example], name)),
    blank: () => flowRequests(blankFlow(name)),
    import: () => importRequests(imported.file?.name ?? ""),
  };
  const isUploading = make.isPending && chosen === "upload" && file !== null;
  const wasCancelled = make.error instanceof DOMException && make.error.name === "AbortError";
  return (
    <Dialog
      title={firstStepTexts.newFlow.title}
      onClose={close}
      footer={
        <>
          <Button onClick={close}>{t.common.cancel}</Button>
          <Button type="submit" form={FORM} look="primary" disabled={!isReady || make.isPending}>
            {SUBMITS[chosen]}
          </Button>
        </>
      }
    >
      <form id={FORM} onSubmit={submit} className={styles.form}>
        <Choice
          label={firstStepTexts.newFlow.source}
          columns
          value={chosen}
          onChange={setSource}
          options={[
            {
              value: "existing",
              label: firstStepTexts.newFlow.existing,
              hint: hasNoModels ? firstStepTexts.newFlow.noModels : undefined,
              disabled: hasNoModels,
            },
            {
              value: "upload",
              label: firstStepTexts.newFlow.upload,
              hint: firstStepTexts.newFlow.uploadHint,
            },
            {
              value: "example",
              label: firstStepTexts.newFlow.example,
              hint: firstStepTexts.newFlow.exampleHint,
            },
            { value: "blank", label: firstStepTexts.newFlow.blank, hint: firstStepTexts.newFlow.blankHint },
            {
              value: "import",
              label: firstStepTexts.newFlow.import,
              hint: firstStepTexts.newFlow.importHint,
            },
          ]}
        />
        {chosen === "existing" ? <ModelChoice query={models} value={model} onChange={setModel} /> : null}
        {chosen === "upload" ? (
          <>
            <FilePicker kind="model" file={file} onChange={takeModel} />
            <Field label={firstStepTexts.newFlow.modelName} hint={firstStepTexts.newFlow.modelNameHint}>
              <TextInput value={modelName} onValueChange={setModelName} required maxLength={128} />
            </Field>
          </>
        ) : null}
        {chosen === "example" ? (
          <Choice
            label={firstStepTexts.newFlow.examples}
            value={example}
            onChange={setExample}
            options={EXAMPLE_NAMES.map((value) => ({
              value,
              label: EXAMPLES[value].name,
              hint: firstStepTexts.newFlow.exampleHints[value],
            }))}
          />
        ) : null}
        {chosen === "import" ? <ImportFields {...imported} /> : null}
        {chosen === "existing" && model ? <Signature model={model} /> : null}
        <Field label={firstStepTexts.newFlow.flowName}>
          <TextInput value={name} onValueChange={setFlowName} required maxLength={200} />
        </Field>
        {isUploading && file ? <UploadProgress sent={sent} total={file.size} /> : null}
        {make.error && !wasCancelled ? <ErrorNotice error={make.error} /> : null}
        {isReady ? <AsCurl calls={requests[chosen]()} /> : null}
      </form>
    </Dialog>
  );
}

/** The flow around a model that the gateway suggests. */
async function starter(model: string): Promise<Starter> {
  const path = { name: model, version: "latest" };
  const { data } = await api.GET("/node/models/{name}/versions/{version}/starter/", { params: { path } });
  if (!data) throw new Error("an answer without a body");
  return data;
}

const SUBMITS = {
  existing: firstStepTexts.newFlow.submit,
  upload: firstStepTexts.newFlow.uploadSubmit,
  example: firstStepTexts.newFlow.submit,
  blank: firstStepTexts.newFlow.submit,
  import: firstStepTexts.newFlow.importSubmit,
};

function titleOf(model: string | null): string {
  const words = (model ?? "").replaceAll(/[_-]+/g, " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}
