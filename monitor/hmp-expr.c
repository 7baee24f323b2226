/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Expressions of the monitor for people; see hmp-args.h.
 */
#include <errno.h>
#include <string.h>

#include "monitor/hmp-args.h"
#include "util/error.h"

#define MAX_NESTING 64      /* brackets and signs; far beyond any use */
#define MAX_NAME 32         /* bytes of a register's name */

typedef struct Expr {
    const char *at;
    const HmpExprEnv *env;
    unsigned nesting;
    unsigned brackets;         /* open ones */
    GError **error;
} Expr;

static bool sum(Expr *e, uint64_t *value);

static void skip_blanks(Expr *e)
{
    while (g_ascii_isspace(*e->at)) {
        e->at++;
    }
}

/*
 * Take the operator that is next if it is one of @set; 0 if it is not.
 * Outside of brackets "a /b" is two arguments, "a / b" and "a/b" are one.
 */
static char take_operator(Expr *e, const char *start, const char *set)
{
    const char *op = e->at;
    bool blank_before = op > start && g_ascii_isspace(op[-1]);

    if (!*op || !strchr(set, *op) ||
        (!e->brackets && blank_before && !g_ascii_isspace(op[1]))) {
        return 0;
    }
    return *e->at++;
}

static bool number(Expr *e, uint64_t *value)
{
    char *end;

    errno = 0;
    *value = g_ascii_strtoull(e->at, &end, 0);
    if (end == e->at || errno || g_ascii_isalnum(*end)) {
        tm_error_set(e->error, errno ? "number too large"
                                     : "invalid char in expression");
        return false;
    }
    e->at = end;
    return true;
}

static bool character(Expr *e, uint64_t *value)
{
    if (!e->at[1] || e->at[2] != '\'') {
        tm_error_set(e->error, "character constant expected");
        return false;
    }
    *value = (unsigned char)e->at[1];
    e->at += 3;
    return true;
}

static bool cpu_register(Expr *e, uint64_t *value)
{
    char name[MAX_NAME];
    size_t length = 0;

    e->at++;
    while (g_ascii_isalnum(*e->at) || *e->at == '_') {
        if (length == sizeof(name) - 1) {
            break;
        }
        name[length++] = g_ascii_tolower(*e->at++);
    }
    name[length] = 0;
    if (!length || !e->env || !e->env->lookup) {
        tm_error_set(e->error, "unknown register");
        return false;
    }
    return e->env->lookup(name, value, e->env->opaque, e->error);
}

static bool brackets(Expr *e, uint64_t *value)
{
    e->at++;
    e->brackets++;
    if (!sum(e, value)) {
        return false;
    }
    e->brackets--;
    if (*e->at != ')') {
        tm_error_set(e->error, "')' expected");
        return false;
    }
    e->at++;
    return true;
}

static bool unary(Expr *e, uint64_t *value);

/* The sign that is next and what it applies to. */
static bool signed_unary(Expr *e, uint64_t *value)
{
    char sign = *e->at++;

    if (!unary(e, value)) {
        return false;
    }
    if (sign == '-') {
        *value = -*value;
    } else if (sign == '~') {
        *value = ~*value;
    }
    return true;
}

static bool unary(Expr *e, uint64_t *value)
{
    bool ok;

    skip_blanks(e);
    if (e->nesting >= MAX_NESTING) {
        tm_error_set(e->error, "expression nested too deep");
        return false;
    }
    e->nesting++;
    switch (*e->at) {
    case '+':
    case '-':
    case '~':
        ok = signed_unary(e, value);
        break;
    case '(':
        ok = brackets(e, value);
        break;
    case '\'':
        ok = character(e, value);
        break;
    case '$':
        ok = cpu_register(e, value);
        break;
    case 0:
        tm_error_set(e->error, "unexpected end of expression");
        ok = false;
        break;
    default:
        ok = number(e, value);
        break;
    }
    e->nesting--;
    skip_blanks(e);
    return ok;
}

static bool product(Expr *e, uint64_t *value)
{
    const char *start = e->at;
    uint64_t right;
    char op;

    if (!unary(e, value)) {
        return false;
    }
    while ((op = take_operator(e, start, "*/%"))) {
        if (!unary(e, &right)) {
            return false;
        }
        if (op != '*' && !right) {
            tm_error_set(e->error, "division by zero");
            return false;
        }
        *value = op == '*' ? *value * right
               : op == '/' ? *value / right : *value % right;
    }
    return true;
}

static bool logic(Expr *e, uint64_t *value)
{
    const char *start = e->at;
    uint64_t right;
    char op;

    if (!product(e, value)) {
        return false;
    }
    while ((op = take_operator(e, start, "&|^"))) {
        if (!product(e, &right)) {
            return false;
        }
        *value = op == '&' ? *value & right
               : op == '|' ? *value | right : *value ^ right;
    }
    return true;
}

static bool sum(Expr *e, uint64_t *value)
{
    const char *start = e->at;
    uint64_t right;
    char op;

    if (!logic(e, value)) {
        return false;
    }
    while ((op = take_operator(e, start, "+-"))) {
        if (!logic(e, &right)) {
            return false;
        }
        *value = op == '+' ? *value + right : *value - right;
    }
    return true;
}

bool hmp_expr(const char **text, const HmpExprEnv *env, uint64_t *ret_value,
              GError **error)
{
    Expr e = { .at = *text, .env = env, .error = error };
    uint64_t value;
    bool ok = sum(&e, &value);

    *text = e.at;
    if (ok) {
        *ret_value = value;
    }
    return ok;
}
