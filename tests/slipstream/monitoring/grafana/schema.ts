// What a dashboard of ours may have, in terms of Grafana's own types.
import type { DataQuery, Dashboard, FieldConfig, FieldConfigSource, Panel } from "@grafana/schema";
import type {
  FieldConfig as GraphStyle,
  Options,
} from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen.d.ts";

// Of Prometheus, whose query is no part of this package.
interface Query extends DataQuery {
  expr: string;
  legendFormat: string;
  range: true;
  instant: false;
}

// Grafana's own types allow any `options` and `custom`.
interface Graph extends Omit<Panel, "type" | "options" | "fieldConfig" | "targets"> {
  type: "timeseries";
  options: Options;
  fieldConfig: Omit<FieldConfigSource, "defaults"> & {
    defaults: Omit<FieldConfig, "custom"> & { custom: GraphStyle };
  };
  targets: Query[];
}

// An enumeration of strings is written as its value in JSON.
type Json<T> = T extends string
  ? `${T}`
  : T extends (infer Item)[]
    ? Json<Item>[]
    : T extends object
      ? { [Name in keyof T]: Json<T[Name]> }
      : T;

export type OurDashboard = Json<Omit<Dashboard, "panels"> & { panels: Graph[] }>;

// The check itself finds a name, a value and a type that Grafana does not have.
// @ts-expect-error
export const misspelt: OurDashboard = { schemaVersion: 41, panels: [], titel: "" };
// @ts-expect-error
export const wrongValue: OurDashboard["panels"][0]["options"]["legend"]["placement"] = "left";
// @ts-expect-error
export const wrongType: OurDashboard["panels"][0]["fieldConfig"]["defaults"] = { unit: 1, custom: {} };
