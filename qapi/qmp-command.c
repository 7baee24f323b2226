/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The little that marshalling functions share.
 */
#include "qapi/qmp-command.h"

#include "qapi/qapi-type.h"

static const QapiType no_members = {
    .kind = QAPI_KIND_STRUCT, .name = "q_empty", .size = 1,
};

bool qmp_command_no_args(JsonObject *args, GError **error)
{
    char value = 0;

    return qapi_object_from_json(&no_members, args, &value, error);
}
