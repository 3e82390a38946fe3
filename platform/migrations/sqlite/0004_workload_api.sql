-- 1 where the gateway's certificates come from a Workload API: there are no serial numbers of them here.
ALTER TABLE gateway ADD COLUMN by_workload_api BIGINT NOT NULL DEFAULT 0;
