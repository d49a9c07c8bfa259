/* Superclasses: what the classes of known data sets have in common. */
#ifndef DATA_GROUP_H
#define DATA_GROUP_H

/* By label: "animal" and "vehicle"; the 20 official superclasses ("small_mammals"). */
extern const char *const cifar10_groups[10], *const cifar100_groups[100];
#endif
