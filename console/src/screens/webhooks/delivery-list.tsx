import { getRouteApi, Link } from "@tanstack/react-router";
import { useState } from "react";
import { Time } from "../../formats/time";
import { t } from "../../strings";
import { webhookTexts } from "../../strings/webhooks";
import { Button, ButtonLink } from "../../ui/button";
import { Field } from "../../ui/field";
import { Filters } from "../../ui/filters";
import { List } from "../../ui/list";
import { EmptyState } from "../../ui/page";
import { Select } from "../../ui/select";
import { Attempts, DeliveryState } from "./delivery-state";
import { type DeliveryFilters, EVENTS, STATUSES } from "./filters";
import { type Delivery, useDeliveries, useEndpoints } from "./queries";
import { ReplayDialog } from "./replay-dialog";
import styles from "./webhooks.module.css";

const route = getRouteApi("/app/webhooks/");
const ALL = "";

export function DeliveryList() {
  const filters = route.useSearch();
  const navigate = route.useNavigate();
  const [replays, setReplays] = useState(false);
  const deliveries = useDeliveries(filters);
  const isFiltered = Object.keys(filters).length > 0;
  const clear = <Button onClick={() => void navigate({ search: {} })}>{webhookTexts.clear}</Button>;
  return (
    <>
      <DeliveryFilterFields
        filters={filters}
        onChange={(search) => void navigate({ search, replace: true })}
        onReplay={() => setReplays(true)}
      />
      <List
        holdsNewerOf={JSON.stringify(filters)}
        label={webhookTexts.deliveries}
        query={deliveries}
        columns={COLUMNS}
        keyOf={(delivery) => delivery.id}
        empty={
          isFiltered ? (
            <EmptyState text={webhookTexts.noMatch} action={clear} />
          ) : (
            <EmptyState
              text={webhookTexts.empty}
              action={<ButtonLink to="/deployments">{webhookTexts.toDeployments}</ButtonLink>}
            />
          )
        }
      />
      {replays ? <ReplayDialog deployment={filters.deployment} onClose={() => setReplays(false)} /> : null}
    </>
  );
}

interface FilterFieldsProps {
  filters: DeliveryFilters;
  onChange: (filters: DeliveryFilters) => void;
  onReplay: () => void;
}

function DeliveryFilterFields({ filters, onChange, onReplay }: FilterFieldsProps) {
  const endpoints = useEndpoints();
  const set = (name: keyof DeliveryFilters, value: string) => {
    const { [name]: _, ...others } = filters;
    onChange(value === ALL ? others : { ...others, [name]: value });
  };
  const deployments = (endpoints.data ?? []).map((endpoint) => ({
    value: endpoint.deployment_id,
    label: endpoint.deployment_name,
  }));
  const isListed = deployments.some(({ value }) => value === filters.deployment);
  if (filters.deployment && !isListed)
    deployments.push({ value: filters.deployment, label: filters.deployment });
  return (
    <Filters>
      <Field label={webhookTexts.status}>
        <Select
          value={filters.status ?? ALL}
          onChange={(value) => set("status", value)}
          options={withAll(
            STATUSES.map((value) => ({ value, label: webhookTexts.statuses[value] ?? value })),
          )}
        />
      </Field>
      <Field label={webhookTexts.event}>
        <Select
          value={filters.event ?? ALL}
          onChange={(value) => set("event", value)}
          options={withAll(EVENTS.map((value) => ({ value, label: value })))}
        />
      </Field>
      <Field label={webhookTexts.deployment}>
        <Select
          value={filters.deployment ?? ALL}
          onChange={(value) => set("deployment", value)}
          options={withAll(deployments)}
        />
      </Field>
      <Button onClick={onReplay}>{webhookTexts.replayFailed}</Button>
    </Filters>
  );
}

/** The name of a deployment whose webhook is still there; else its id. */
function DeploymentName({ id }: { id: string }) {
  const endpoints = useEndpoints();
  const found = endpoints.data?.find((endpoint) => endpoint.deployment_id === id);
  return found?.deployment_name ?? id.slice(0, 8);
}

function withAll(options: { value: string; label: string }[]) {
  return [{ value: ALL, label: t.common.all }, ...options];
}

const COLUMNS = [
  {
    title: webhookTexts.event,
    cell: (delivery: Delivery) => (
      <Link
        to="/webhooks/deliveries/$deliveryId"
        params={{ deliveryId: delivery.id }}
        className={styles.name}
      >
        {delivery.event}
      </Link>
    ),
  },
  {
    title: webhookTexts.deployment,
    cell: (delivery: Delivery) => <DeploymentName id={delivery.deployment_id} />,
  },
  { title: webhookTexts.status, cell: ({ status }: Delivery) => <DeliveryState status={status} /> },
  {
    title: webhookTexts.answer,
    cell: (delivery: Delivery) => delivery.last_status_code ?? delivery.last_error ?? t.common.unknown,
  },
  { title: webhookTexts.attempts, cell: (delivery: Delivery) => <Attempts delivery={delivery} /> },
  { title: webhookTexts.id, cell: (delivery: Delivery) => <code>{shortId(delivery.id)}</code> },
  { title: webhookTexts.at, cell: ({ created_at }: Delivery) => <Time iso={created_at} /> },
];

function shortId(id: string): string {
  return `${id.slice(0, 8)}…`;
}
