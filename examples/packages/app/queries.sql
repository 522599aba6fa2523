-- query maintainers(top INTEGER = 5)
SELECT maintainer, count(*) AS packages, sum(installed_size) / 1024 AS mib
FROM package GROUP BY maintainer ORDER BY packages DESC, maintainer LIMIT :top;

-- query sections(top INTEGER = 8)
SELECT section, count(*) AS packages, sum(installed_size) / 1024 AS mib
FROM package GROUP BY section ORDER BY mib DESC, section LIMIT :top;

-- query installation_of(package)
SELECT package, state, version, changed, events FROM installation WHERE package = :package;
