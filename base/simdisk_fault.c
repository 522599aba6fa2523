/* Which call of the simulated machine fails, and how. */
#include <stdlib.h>

#include "base/simdisk_internal.h"

static unsigned kind_index(uint32_t kind)
{
    return (unsigned)__builtin_ctz(kind);
}

uint64_t dbk_simdisk_calls(const dbk_simdisk *disk, uint32_t kinds)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < DBK_SIM_KIND_COUNT; i++) {
        if (kinds & (1U << i)) sum += disk->calls[i];
    }
    return sum;
}

void dbk_simdisk_add_fault(dbk_simdisk *disk, const dbk_simdisk_fault *fault)
{
    sim_rule *rule = sim_host_take(sizeof *rule);
    rule->fault = *fault;
    if (fault->path) {
        size_t size = strlen(fault->path) + 1;
        rule->path = sim_host_take(size);
        memcpy(rule->path, fault->path, size);
    }
    sim_rule **end = &disk->rules;
    while (*end) end = &(*end)->next;
    *end = rule;
}

void dbk_simdisk_clear_faults(dbk_simdisk *disk)
{
    while (disk->rules) {
        sim_rule *rule = disk->rules;
        disk->rules = rule->next;
        free(rule->path);
        free(rule);
    }
    disk->fault_hits = 0;
}

uint64_t dbk_simdisk_fault_hits(const dbk_simdisk *disk)
{
    return disk->fault_hits;
}

void dbk_simdisk_power_off_at(dbk_simdisk *disk, uint64_t count)
{
    disk->changes_left = count;
}

bool dbk_simdisk_power_is_off(const dbk_simdisk *disk)
{
    return disk->power == SIM_POWER_OFF;
}

static bool path_matches(const dbk_simdisk *disk, const char *part, const sim_target *target)
{
    char path[SIM_PATH_MAX];
    if (!target) return false;
    sim_path(&disk->tree, target->node, target->name, path);
    if (strstr(path, part)) return true;
    if (!target->second_name) return false;
    sim_path(&disk->tree, target->second_node, target->second_name, path);
    return strstr(path, part) != NULL;
}

/* Counts the call for the rule and says whether it is one of those to hit. */
static bool rule_hits(const dbk_simdisk *disk, sim_rule *rule, uint32_t kind, const sim_target *target)
{
    if (!(rule->fault.kinds & kind)) return false;
    if (rule->path && !path_matches(disk, rule->path, target)) return false;
    uint64_t number = rule->seen++;
    if (number < rule->fault.skip) return false;
    return rule->fault.times == 0 || number - rule->fault.skip < rule->fault.times;
}

static sim_verdict ask_rules(dbk_simdisk *disk, uint32_t kind, const sim_target *target)
{
    const sim_rule *first = NULL;
    for (sim_rule *rule = disk->rules; rule; rule = rule->next) {
        if (rule_hits(disk, rule, kind, target) && !first) first = rule;
    }
    if (!first) return (sim_verdict){0};
    disk->fault_hits++;
    sim_verdict verdict = {.action = first->fault.action, .bytes = first->fault.bytes};
    if (verdict.action == DBK_SIM_FAIL) verdict.error = first->fault.error ? first->fault.error : EIO;
    return verdict;
}

sim_verdict sim_enter(dbk_simdisk *disk, uint32_t kind, const sim_target *target)
{
    disk->calls[kind_index(kind)]++;
    if ((kind & DBK_SIM_IO) && disk->power == SIM_POWER_OFF) return (sim_verdict){.error = EIO};
    if ((kind & DBK_SIM_CHANGES) && disk->changes_left > 0 && --disk->changes_left == 0) {
        disk->power = SIM_POWER_FAILING;
        return (sim_verdict){0};
    }
    uint32_t writes = DBK_SIM_CHANGES & ~(uint32_t)(DBK_SIM_SYNC | DBK_SIM_SYNC_DIR);
    if ((kind & writes) && disk->world.read_only) return (sim_verdict){.error = EROFS};
    return disk->rules ? ask_rules(disk, kind, target) : (sim_verdict){0};
}

int64_t sim_leave(dbk_simdisk *disk, int64_t result)
{
    if (disk->power != SIM_POWER_FAILING) return result;
    disk->power = SIM_POWER_OFF;
    return -EIO;
}
