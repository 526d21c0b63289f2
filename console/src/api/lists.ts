import { type InfiniteData, keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { usePolling } from "./polling";

const PAGE_SIZE = 50;

interface Page<Row> {
  items: Row[];
  next_cursor: string | null;
}

interface PageQuery {
  limit: number;
  cursor?: string;
}

interface ListOptions<Row> {
  /** Milliseconds until the pages are loaded again, by the rows that are known. */
  pause?: (rows: readonly Row[] | undefined) => number;
  /** The path has filters: the rows before stay until those of other filters are there. */
  isFiltered?: boolean;
}

/** The rows of a list by pages: the first one, and more when they are asked for. */
export function useList<Row>(
  path: string,
  load: (query: PageQuery) => Promise<Page<Row> | undefined>,
  { pause, isFiltered = false }: ListOptions<Row> = {},
) {
  const polling = usePolling<InfiniteData<Page<Row>>>((data) =>
    pause ? pause(data?.pages.flatMap((page) => page.items)) : false,
  );
  return useInfiniteQuery({
    queryKey: ["list", path],
    queryFn: async ({ pageParam }) => {
      const page = await load({ limit: PAGE_SIZE, ...(pageParam ? { cursor: pageParam } : {}) });
      if (!page) throw new Error("an answer without a body");
      return page;
    },
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next_cursor,
    refetchInterval: polling,
    placeholderData: isFiltered ? keepPreviousData : () => undefined,
    select: (data) => data.pages.flatMap((page) => page.items),
  });
}

export type ListQuery<Row> = ReturnType<typeof useList<Row>>;
