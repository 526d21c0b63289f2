// Not from the index, which also has a registry for tests, with ajv.
import Form from "@rjsf/core/lib/components/Form.js";
import type { RJSFSchema, UiSchema } from "@rjsf/utils";
import { useMemo } from "react";
import type { components } from "../../../api/schema";
import type { Config, FlowNode } from "../../flows/flow-nodes";
import type { Problem } from "../check";
import { errorsAt } from "./errors-at";
import { FIELDS } from "./fields";
import { TEMPLATES, WIDGETS } from "./theme";
import { validator } from "./validator";

type Ui = components["schemas"]["NodeKindOut"]["ui"];

/** What the fields of a form know beside their value. */
export interface FormContext {
  node: FlowNode;
  config: Config;
}

interface ConfigFormProps {
  /** Unique on the page. */
  id: string;
  schema: Record<string, unknown>;
  ui?: Ui;
  value: Config;
  problems: readonly Problem[];
  /** Where the value is in the node. */
  path: "config" | "retry";
  node: FlowNode;
  onChange: (value: Config) => void;
}

/** A form that a JSON Schema describes. What is wrong with its values, the gateway says. */
export function ConfigForm({ id, schema, ui, value, problems, path, node, onChange }: ConfigFormProps) {
  const uiSchema = useMemo(() => uiSchemaOf(ui), [ui]);
  const errors = useMemo(() => errorsAt(problems, path), [problems, path]);
  const context: FormContext = { node, config: value };
  return (
    <Form
      tagName="div"
      idPrefix={id}
      schema={schema as RJSFSchema}
      uiSchema={uiSchema}
      formData={value}
      formContext={context}
      validator={validator}
      fields={FIELDS}
      widgets={WIDGETS}
      templates={TEMPLATES}
      extraErrors={errors}
      noValidate
      noHtml5Validate
      showErrorList={false}
      experimental_defaultFormStateBehavior={{ emptyObjectFields: "skipDefaults" }}
      onChange={({ formData }) => onChange(defined(formData ?? {}))}
    />
  );
}

function uiSchemaOf(ui: Ui | undefined): UiSchema {
  const fields = Object.entries(ui?.widgets ?? {})
    .filter(([, widget]) => widget in FIELDS)
    .map(([name, widget]) => [name, { "ui:field": widget, "ui:fieldReplacesAnyOrOneOf": true }]);
  return { ...Object.fromEntries(fields), "ui:submitButtonOptions": { norender: true } };
}

function defined(value: Config): Config {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined));
}
