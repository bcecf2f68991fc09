#include "cdpdk_match.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_acl.h>
#include <rte_errno.h>
#include <rte_lcore.h>

_Static_assert((int)NFV_ACL_PREFIX == RTE_ACL_FIELD_TYPE_MASK, "kinds of fields");
_Static_assert((int)NFV_ACL_RANGE == RTE_ACL_FIELD_TYPE_RANGE, "kinds of fields");
_Static_assert((int)NFV_ACL_BITS == RTE_ACL_FIELD_TYPE_BITMASK, "kinds of fields");

enum { BURST = 256 };

bool nfv_eal_is_running(void) { return rte_lcore_count() > 0; }

static void set_field(struct rte_acl_field *field, uint8_t size, nfv_acl_value value) {
  switch (size) {
    case 1:
      field->value.u8 = (uint8_t)value.value;
      field->mask_range.u8 = (uint8_t)value.extent;
      break;
    case 2:
      field->value.u16 = (uint16_t)value.value;
      field->mask_range.u16 = (uint16_t)value.extent;
      break;
    default:
      field->value.u32 = value.value;
      field->mask_range.u32 = value.extent;
  }
}

static int add_rules(
  struct rte_acl_ctx *context, const nfv_acl_field *fields, uint32_t field_count, const nfv_acl_value *values,
  const uint32_t *results, uint32_t count) {
  struct rte_acl_rule *rule = calloc(1, RTE_ACL_RULE_SZ(field_count));
  if (rule == NULL) return -ENOMEM;
  int error = 0;
  for (uint32_t i = 0; i < count && error == 0; i++) {
    rule->data.category_mask = 1;
    rule->data.priority = (int32_t)(RTE_ACL_MAX_PRIORITY - i);
    rule->data.userdata = results[i];
    for (uint32_t f = 0; f < field_count; f++) set_field(&rule->field[f], fields[f].size, values[i * field_count + f]);
    error = rte_acl_add_rules(context, rule, 1);
  }
  free(rule);
  return error;
}

nfv_acl *nfv_acl_create(
  const nfv_acl_field *fields, uint32_t field_count, const nfv_acl_value *values, const uint32_t *results,
  uint32_t count, size_t max_size, int *error) {
  *error = EINVAL;
  if (field_count == 0 || field_count > RTE_ACL_MAX_FIELDS || count == 0 || count >= RTE_ACL_MAX_PRIORITY) return NULL;
  // DPDK gives the list that exists when a name is used twice.
  static atomic_uint number;
  char name[RTE_ACL_NAMESIZE];
  snprintf(name, sizeof name, "nfv%u", atomic_fetch_add(&number, 1));
  struct rte_acl_param parameters = {
    .name = name,
    .socket_id = SOCKET_ID_ANY,
    .rule_size = (uint32_t)RTE_ACL_RULE_SZ(field_count),
    .max_rule_num = count,
  };
  struct rte_acl_ctx *context = rte_acl_create(&parameters);
  if (context == NULL) {
    *error = rte_errno != 0 ? rte_errno : ENOMEM;
    return NULL;
  }
  struct rte_acl_config config = {.num_categories = 1, .num_fields = field_count, .max_size = max_size};
  for (uint32_t f = 0; f < field_count; f++) {
    config.defs[f] = (struct rte_acl_field_def){
      .type = fields[f].kind,
      .size = fields[f].size,
      .field_index = (uint8_t)f,
      .input_index = fields[f].group,
      .offset = fields[f].offset,
    };
  }
  int result = add_rules(context, fields, field_count, values, results, count);
  if (result == 0) result = rte_acl_build(context, &config);
  if (result != 0) {
    rte_acl_free(context);
    *error = -result;
    return NULL;
  }
  *error = 0;
  return (nfv_acl *)context;
}

void nfv_acl_destroy(nfv_acl *acl) { rte_acl_free((struct rte_acl_ctx *)acl); }

void nfv_acl_classify(
  const nfv_acl *acl, const void *keys, size_t stride, const uint8_t *kinds, uint8_t mask, uint32_t count,
  uint32_t *results) {
  const uint8_t *data[BURST];
  uint32_t found[BURST];
  uint8_t which[BURST];
  uint32_t chosen = 0;
  if (count > BURST) count = BURST;
  for (uint32_t i = 0; i < count; i++) {
    data[chosen] = (const uint8_t *)keys + i * stride;
    which[chosen] = (uint8_t)i;
    chosen += (kinds[i] & mask) != 0;
  }
  if (chosen == 0) return;
  if (rte_acl_classify((const struct rte_acl_ctx *)acl, data, found, chosen, 1) != 0) return;
  for (uint32_t i = 0; i < chosen; i++) {
    // No match is 0, and wraps round to the highest number.
    uint32_t *result = &results[which[i]];
    if (found[i] - 1 < *result) *result = found[i] - 1;
  }
}
