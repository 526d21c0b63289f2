import type { FieldProps } from "@rjsf/utils";
import { hooks } from "../../../api/client";
import { editorTexts } from "../../../strings/editor";
import { Select } from "../../../ui/select";
import { useEditor } from "../editor-context";
import type { FormContext } from "./config-form";
import { descriptionId } from "./described";

const LATEST = "latest";
const MAX_MODELS = 200;

/** One of the models that the user may use. */
export function ModelField(props: FieldProps) {
  const models = hooks.useQuery("get", "/node/models/", { params: { query: { limit: MAX_MODELS } } });
  const names = (models.data?.items ?? []).map(({ name }) => name);
  return <ReferenceField field={props} names={names} />;
}

/** `latest`, a version or a label of the node's model. */
export function ModelVersionField(props: FieldProps) {
  const { config } = props.registry.formContext as FormContext;
  const name = String(config["model"] ?? "");
  const model = hooks.useQuery(
    "get",
    "/node/models/{name}/",
    { params: { path: { name } } },
    { enabled: name !== "", retry: false },
  );
  const versions = (model.data?.versions ?? []).map(String);
  const labels = Object.keys(model.data?.labels ?? {});
  return <ReferenceField field={props} names={[LATEST, ...labels, ...versions]} fallback={LATEST} />;
}

/** One of the installed Python nodes. */
export function FunctionField(props: FieldProps) {
  const { python } = useEditor().answer;
  return <ReferenceField field={props} names={python.map(({ name }) => name)} />;
}

interface ReferenceFieldProps {
  field: FieldProps;
  names: readonly string[];
  fallback?: string;
}

function ReferenceField({ field, names, fallback = "" }: ReferenceFieldProps) {
  const { fieldPathId, formData, rawErrors, onChange } = field;
  const value = String(formData ?? fallback);
  const options = names.map((name) => ({ value: name, label: name }));
  const choose = { value: "", label: editorTexts.panel.choose };
  return (
    <Select
      id={fieldPathId.$id}
      value={value}
      aria-invalid={Boolean(rawErrors?.length)}
      aria-describedby={descriptionId(fieldPathId.$id)}
      options={value === "" ? [choose, ...options] : options}
      onChange={(chosen) => onChange(chosen, fieldPathId.path)}
    />
  );
}
