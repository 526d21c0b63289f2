import { type ComponentProps, lazy, Suspense } from "react";
import { Skeleton } from "../../ui/loading";

const Loading = lazy(() => import("./flow-graph").then(({ FlowGraph }) => ({ default: FlowGraph })));

/** A graph whose canvas is loaded when it is shown: the tables beside it do not wait. */
export function LazyFlowGraph(props: ComponentProps<typeof Loading>) {
  return (
    <Suspense fallback={<Skeleton rows={6} />}>
      <Loading {...props} />
    </Suspense>
  );
}
