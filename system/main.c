/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The composition root: the one place that knows every room.
 */
int main(void)
{
    return 0;
}
