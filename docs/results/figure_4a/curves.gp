# gnuplot curves.gp makes curves.svg; with -e "format='png'", curves.png
if (!exists("format")) format = 'svg'
if (format eq 'svg') {
  set terminal svg noenhanced background 'white' size 900,600
} else {
  if (strstrt(GPVAL_TERMINALS, 'pngcairo')) {
    set terminal pngcairo noenhanced size 900,600
  } else {
    set terminal png noenhanced size 900,600
  }
}
set output 'curves.'.format
set datafile separator ','
heading = "Best return so far: median and 95 % bootstrap interval"."\n"."Figure 4a: the bipedal walker on rough ground, three optimizers; cpu scale (terrain rough, 5 runs of"."\n"."1000 iterations of 2048 steps)"
set label 1 heading at screen 0.5, screen 0.97 center
set tmargin 5
set xlabel 'PPO iteration'
set ylabel 'best return so far'
set key bottom right
of(name, c) = strcol(1) eq name ? column(c) : NaN
set style fill transparent solid 0.2 noborder
plot 'curves.csv' using 2:(of("fop", 4)):(of("fop", 5)) every ::1 with filledcurves lc 1 notitle, 'curves.csv' using 2:(of("fop", 3)) every ::1 with lines lw 2 lc 1 title "fop", 'curves.csv' using 2:(of("momentum", 4)):(of("momentum", 5)) every ::1 with filledcurves lc 2 notitle, 'curves.csv' using 2:(of("momentum", 3)) every ::1 with lines lw 2 lc 2 title "momentum", 'curves.csv' using 2:(of("adam", 4)):(of("adam", 5)) every ::1 with filledcurves lc 3 notitle, 'curves.csv' using 2:(of("adam", 3)) every ::1 with lines lw 2 lc 3 title "adam"
