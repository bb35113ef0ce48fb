"""Shards in, model and pictures out.

The road, a module a stage:

    config      what decides a training; presets as data
    data        shards -> batches, a pure function of (seed, step)
    networks    generator and discriminator, of layers
    losses      pure functions; a preset names one
    gan         the updates of a step; optimizers, devices
    run         config -> data -> model -> fit -> run folder; snapshots, callbacks, alarms
    evaluate    a run's figures, and how far the tags decide; metrics
    colorize    line drawings and tags -> colours; tags, grids
    show        a page on a training: curves, film strip, alarms; stats
    serve       a page to draw on; ui
    export      the model for other programs; card says what it is of

Of `curate` it knows the contract alone: the shard folder.
"""
